"""A headless Chromium by its debugging pipe: no driver, no port, no network.

Messages are JSON, ended by a null byte; Chromium reads them from descriptor 3 and writes to 4.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Browser", "find_chromium"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page. ``messages`` holds what it said of itself: errors, logs, requests."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._next = 0
        self._buffer = b""
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [find_chromium() or "", *_FLAGS, f"--user-data-dir={self._profile.name}"]
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 16) for end in (theirs_in, theirs_out)]
        actions = [
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, high[0], 3),
            (os.POSIX_SPAWN_DUP2, high[1], 4),
        ]
        self._process = os.posix_spawn(
            command[0], command, os.environ, file_actions=actions, setpgroup=0
        )
        for end in (theirs_in, theirs_out, *high):
            os.close(end)
        self._session = ""
        target = self._page()
        answer = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = answer["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def _page(self) -> str:
        for target in self.ask("Target.getTargets")["targetInfos"]:
            if target["type"] == "page":
                return str(target["targetId"])
        return str(self.ask("Target.createTarget", url="about:blank")["targetId"])

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self._next += 1
        message: dict[str, Any] = {"id": self._next, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._read()
            if answer.get("id") == self._next:
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._in, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser has gone")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.messages.append(message)
        return message

    # ---- what a reader does --------------------------------------------------------------------

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        size = {"width": width, "height": height, "mobile": phone}
        self.ask("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1)

    def open(self, page: Path, state: str = "") -> None:
        """Loads a file anew, with ``state`` behind the "#"."""
        self.ask("Page.navigate", url="about:blank")
        self._wait_for("about:blank")
        self.messages.clear()
        url = page.resolve().as_uri()
        self.ask("Page.navigate", url=f"{url}#{state}")
        self._wait_for(url)

    def _wait_for(self, url: str) -> None:
        """Until the page at ``url`` has loaded. Asked for, not listened to: the events of two pages
        come from two processes, in any order."""
        for _ in range(1000):
            with suppress(RuntimeError):  # the page goes while it is asked
                ready, address = self.value("[document.readyState, location.href]")
                if ready == "complete" and address.startswith(url):
                    return
            time.sleep(0.03)
        raise RuntimeError(f"{url} does not load")

    def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Errors of scripts and of the content policy, and requests for anything but the page."""
        told = []
        for message in self.messages:
            name, values = message["method"], message["params"]
            if name in ("Runtime.exceptionThrown", "Log.entryAdded"):
                told.append(json.dumps(values))
            elif name == "Network.requestWillBeSent":
                url = values["request"]["url"]
                if values["type"] != "Document" or not url.startswith(("file:", "about:")):
                    told.append(url)
        return told

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(data["data"]))

    def pdf(self) -> bytes:
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"])
