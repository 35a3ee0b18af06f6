"""Projects that mean harm, or are broken: one line each in the report, and nothing crashes."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("libcst")

from canopy.errors import CanopyError
from canopy.migrate import command, walker
from canopy.migrate.command import Options, migrate
from canopy.migrate.project import read_project

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
NEEDS_USER = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(ENVIRONMENT, "CANOPY_CACHE_DIR", str(tmp_path / "cache"))


def zip_bomb() -> bytes:
    """A megabyte of zeros many times over, in a few kilobytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.ipynb", b"0" * (1 << 20))
    return stream.getvalue()


def conflict() -> bytes:
    ours, theirs = b"<<<<<<< ours\nx = 'cuda'\n", b"=======\nx = 'cpu'\n>>>>>>> theirs\n"
    return b"import torch\n" + ours + theirs


CELL = {"cell_type": "code", "source": ["import cupy\n"]}
FILES: dict[str, tuple[bytes, str]] = {  # what it holds, a word of its note
    "latin.py": (b"x = 'cuda \xff'\n", "Python"),
    "two.py": (b"print 'cuda'\n", "line 1"),
    "two_more.py": (b"import cupy\ntry:\n    x\nexcept E, e:\n    pass\n", "line 4"),
    "broken.py": (b"def cuda(:\n", "line 1"),
    "conflict.py": (conflict(), "line 2"),
    "deep.py": (b"cuda = " + b"(" * 5000 + b")" * 5000, "nested"),
    "deep_blocks.py": (
        b"".join(b" " * depth + b"if cuda:\n" for depth in range(300)) + b" " * 300 + b"pass\n",
        "line",
    ),
    "unary.py": (b"cuda = " + b"-" * 20_000 + b"1\n", "not read"),
    "chain.py": (b"cuda" + b".a" * 20_000 + b"\n", "not read"),
    "fstring.py": (b"cuda" + b"f'{" * 60, "Python"),
    "null.py": (b"cuda\0", "binary"),
    "utf16.py": ("import cupy\n".encode("utf-16"), "binary"),
    "coding.py": (b"# coding: no-such-code\nimport cupy\n", "not read"),
    "coding_rot.py": (b"# coding: rot13\nvzcbeg phcl # cuda\n", "not read"),
    "bad.ipynb": (b'{"cells": 3, "cuda": 1}', "notebook"),
    "list.ipynb": (b"[1, 2]", "notebook"),
    "deep.ipynb": (b"[" * 100_000, "notebook"),
    "latin.ipynb": (b'{"cells": ["\xff"]}', "notebook"),
    "number.ipynb": (b'{"cells": ' + b"9" * 10_000 + b"}", "notebook"),
    "bomb.ipynb": (zip_bomb(), "binary"),
    "bomb_gz.ipynb": (gzip.compress(b"0" * (30 << 20)), "binary"),
    "text.ipynb": (b"import cupy", "notebook"),
}


def test_every_bad_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = tmp_path / "bad"
    root.mkdir()
    for name, (data, _) in FILES.items():
        (root / name).write_bytes(data)
    (root / "good.ipynb").write_text(json.dumps({"cells": [CELL]}))
    started = time.monotonic()
    project = read_project(root, jobs=1)
    assert time.monotonic() - started < 30
    notes = {file.path: file.note for file in project.files}
    for name, (_, word) in FILES.items():
        assert word in notes[name], (name, notes[name])
        assert "\n" not in notes[name]
    assert notes["good.ipynb"] == ""
    assert [file.path for file in project.with_findings] == ["good.ipynb"]
    assert migrate(root, Options(jobs=1)) == 0
    assert "not read" in capsys.readouterr().out


def test_folders_without_end(tmp_path: Path):
    root = deep = tmp_path / "deep"
    for _ in range(80):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (root / "latin.cu").write_bytes(b'__global__ void k() { /* \xff */ } // "\n"')
    folder, source = read_project(root, jobs=1).files
    assert folder.note == "not read: 64 folders deep"
    assert [finding.rule for finding in source.findings] == ["cuda.kernel"]


def test_a_huge_file_is_not_read_whole(tmp_path: Path):
    root = tmp_path / "huge"
    root.mkdir()
    with open(root / "huge.py", "wb") as stream:
        stream.write(b"import cupy\n")
        stream.truncate(50 << 20)
    (file,) = read_project(root, jobs=1).files
    assert file.note == "not read: 50 MiB is too large"


def test_links_lead_nowhere(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("import cupy\n")
    root = tmp_path / "project"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "up").symlink_to(root)
    (root / "self.py").symlink_to("self.py")
    (root / "there").symlink_to("back")
    (root / "back").symlink_to("there")
    (root / "out").symlink_to(outside)
    (root / "out.py").symlink_to(outside / "secret.py")
    (root / "dangling.py").symlink_to("nowhere.py")
    os.mkfifo(root / "pipe.py")
    project = read_project(root, jobs=1)
    assert project.total == 0
    notes = {file.path: file.note for file in project.files}
    links = ("a/b/up", "self.py", "out", "out.py", "dangling.py")
    assert notes == {**dict.fromkeys(links, "not read: a link"), "pipe.py": notes["pipe.py"]}
    assert "regular" in notes["pipe.py"]


def test_a_link_to_the_project_itself_is_followed(tmp_path: Path):
    (tmp_path / "real.py").write_text("import cupy\n")
    (tmp_path / "link.py").symlink_to("real.py")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.py").write_text("import cupy\n")
    (tmp_path / "door").symlink_to("folder")
    assert read_project(tmp_path / "link.py").total == 1
    assert read_project(tmp_path / "door").total == 1


def test_a_link_that_appears_while_reading_is_not_followed(tmp_path: Path):
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "secret.py").write_text("import cupy\n")
    (root / "x.py").symlink_to(tmp_path / "secret.py")
    with pytest.raises(OSError):
        walker.read_bytes(root / "x.py")


NAMES = (
    "new\nline.py",
    "\x1b[31mred\x07.py",
    "<script>alert(1)<",
    "[bold]x[red].py",
    "\u202egnp.py",
    b"\xff\xfe.py".decode("utf-8", "surrogateescape"),
    "-rf.py",
    " .py",
    "%41.py",
    "a" * 250 + ".py",
)


def test_names_of_every_kind(tmp_path: Path):
    root = tmp_path / "names"
    root.mkdir()
    for name in NAMES:
        (root / name).with_suffix(".py").write_text("import torch\ntorch.zeros(1).cuda()\n")
    reports = {kind: tmp_path / f"r.{kind}" for kind in ("html", "json", "sarif")}
    options = [word for kind, path in reports.items() for word in (f"--{kind}", str(path))]
    for more in ((), ("--diff", "--apply")):
        done = subprocess.run(
            [sys.executable, "-m", "canopy", "migrate", str(root), *options, *more],
            capture_output=True,
            timeout=100,
            env=ENVIRONMENT,
        )
        assert (done.returncode, done.stderr) == (0, b"") or more
        assert done.returncode == 0
        for output in (done.stdout, done.stderr):
            assert not {b"\x1b", b"\x07"} & {output[at : at + 1] for at in range(len(output))}
            assert "\u202e".encode() not in output
    data = json.loads(reports["json"].read_text())
    assert len(data["files"]) == len(NAMES)
    (run,) = json.loads(reports["sarif"].read_text())["runs"]
    uris = {
        r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]
    }
    assert all(uri.isascii() and uri.isprintable() and " " not in uri for uri in uris)
    for path in root.iterdir():
        assert b"DEVICE" in path.read_bytes()


def test_a_file_named_as_a_folder_and_nothing_at_all(tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("import cupy\n")
    assert read_project(script).total == 1
    for wrong in (script / "below", tmp_path / "nothing"):
        with pytest.raises(CanopyError):
            read_project(wrong)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CanopyError, match="neither"):
        read_project(pipe)


def test_reports_that_cannot_be_written(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("import cupy\n")
    for option in ("html_path", "json_path", "sarif_path"):
        for place in (tmp_path / "no" / "r", tmp_path, Path("/proc/none"), script / "r"):
            with pytest.raises(CanopyError, match="cannot be written"):
                migrate(script, Options(**{option: place}))
    assert script.read_text() == "import cupy\n"


@NEEDS_USER
def test_a_project_that_may_not_be_read_or_written(tmp_path: Path):
    root = tmp_path / "locked"
    root.mkdir()
    (root / "x.py").write_text("import torch\ntorch.zeros(1).cuda()\n")
    (root / "secret.py").write_text("import cupy\n")
    (root / "secret.py").chmod(0)
    (root / "closed").mkdir(mode=0)
    root.chmod(0o500)
    try:
        notes = {file.path: file.note for file in read_project(root, jobs=1).files if file.note}
        assert notes.keys() == {"secret.py", "closed"}
        with pytest.raises(CanopyError, match="cannot be written"):
            migrate(root, Options(apply=True, force=True, jobs=1))
        assert os.listdir(root) == sorted(os.listdir(root))
    finally:
        root.chmod(0o700)
        (root / "closed").chmod(0o700)


def test_a_read_only_project_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "project"
    root.mkdir()
    (root / "x.py").write_text("import torch\ntorch.zeros(1).cuda()\n")

    def refused(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("canopy.migrate.apply.tempfile", SimpleNamespace(mkstemp=refused))
    with pytest.raises(CanopyError, match=r"x\.py: cannot be written: Read-only"):
        migrate(root, Options(apply=True, force=True, jobs=1))


def test_what_is_written_is_inside(tmp_path: Path):
    """A whole run changes nothing but the files it rewrites, its reports and its cache."""
    root = tmp_path / "home" / "project"
    root.mkdir(parents=True)
    (root / "x.py").write_text("import torch\ntorch.zeros(1).cuda()\n")
    (root / "y.py").write_text("import cupy\n")
    (root.parent / "other.py").write_text("import torch\ntorch.zeros(1).cuda()\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    options = Options(html_path=tmp_path / "r.html", apply=True, force=True, jobs=1)
    assert migrate(root, options) == 0
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    changed = {path for path in after if before.get(path) != after[path]}
    outside_cache = {path for path in changed if tmp_path / "cache" not in path.parents}
    assert outside_cache == {root / "x.py", tmp_path / "r.html"}


def slow_project(root: Path) -> None:
    root.mkdir()
    body = "".join(f"    y{n} = torch.zeros({n}, device='cuda')\n" for n in range(400))
    for number in range(60):
        (root / f"f{number}.py").write_text(f"import torch\ndef f{number}():\n{body}")


def alive(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = entry.read_text().rpartition(")")[2].split()
            if int(words[2]) == group and words[0] != "Z":
                found.append(int(entry.parent.name))
    return found


@pytest.mark.parametrize("after_s", [0.0, 0.7])
def test_ctrl_c_ends_it_with_one_line(tmp_path: Path, after_s: float):
    root = tmp_path / "slow"
    slow_project(root)
    process = subprocess.Popen(
        [sys.executable, "-m", "canopy", "migrate", str(root), "--jobs", "2", "--apply"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    while len(alive(process.pid)) < 3:  # the workers start
        time.sleep(0.01)
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert errors == "canopy: interrupted; nothing was rewritten\n"
    while alive(process.pid):
        assert time.monotonic() - started < 20, "somebody is left behind"
        time.sleep(0.05)
    assert "DEVICE" not in (root / "f0.py").read_text()


def test_ctrl_c_between_two_files_tells_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    root = tmp_path / "project"
    root.mkdir()
    for name in "abc":
        (root / f"{name}.py").write_text("import torch\ntorch.zeros(1).cuda()\n")
    write = command.write_in_place

    def interrupted(file: Path, before: bytes, after: bytes) -> None:
        if file.name == "b.py":
            raise KeyboardInterrupt
        write(file, before, after)

    monkeypatch.setattr(command, "write_in_place", interrupted)
    assert migrate(root, Options(apply=True, force=True, jobs=1)) == command.EXIT_INTERRUPTED
    assert "1 of 3 files were rewritten" in capsys.readouterr().err
    assert ["DEVICE" in (root / f"{n}.py").read_text() for n in "abc"] == [True, False, False]


def test_a_file_that_kills_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A worker that dies costs one line, not the report."""
    root = tmp_path / "project"
    root.mkdir()
    for number in range(39):
        (root / f"f{number}.py").write_text("import cupy\n")
    (root / "fatal.py").write_text("import cupy\n# fatal\n")
    killer = tmp_path / "killer"
    killer.mkdir()
    (killer / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def look(event, words):\n"
        "    is_worker = str(os.getppid()) == os.environ.get('PARENT')\n"
        "    if event == 'open' and is_worker and str(words[0]).endswith('fatal.py'):\n"
        "        os._exit(9)\n"
        "sys.addaudithook(look)\n"
    )
    code = (
        "import os, sys\n"
        "from pathlib import Path\nfrom canopy.migrate.project import read_project\n"
        "if __name__ == '__main__':\n"
        "    os.environ['PARENT'] = str(os.getpid())\n"
        "    found = read_project(Path(sys.argv[1]), jobs=2)\n"
        "    print(found.total, [file.note for file in found.files if file.note])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{killer}:{ROOT / 'src'}"}
    done = subprocess.run(
        [sys.executable, str(script), str(root)],
        capture_output=True, text=True, timeout=100, env=environment,
    )  # fmt: skip
    assert done.stdout == "39 ['not read: it brings the parser down']\n", done.stderr
