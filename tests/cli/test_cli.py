"""The command line: arguments reach the script untouched, errors are place, fact and hint."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"

FAKE_COMMANDS = """
    import json, sys
    from types import ModuleType

    def run(program, argv=(), *, module=False, target="cpu", quiet=False, report=None):
        print(json.dumps([target, quiet, report, module, program, *argv]))
        return 7

    def check(path):
        print("checked", path)
        return 0

    fake = ModuleType("canopy.frontends.redirect.commands")
    fake.run, fake.check = run, check
    package = ModuleType("canopy.frontends.redirect")
    package.__path__ = []
    sys.modules["canopy.frontends.redirect"] = package
    sys.modules["canopy.frontends.redirect.commands"] = fake
"""


def canopy(
    *arguments: str, prelude: str = "", cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(prelude) + "\nfrom canopy.cli import main\nmain()\n"
    environment = {
        **os.environ,
        "PYTHONPATH": str(SOURCE),
        "NO_COLOR": "1",
        "TERMINAL_WIDTH": "200",
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["s.py"], '["cpu", false, null, false, "s.py"]'),
        (
            ["s.py", "--lr", "3", "--help", "--", "--target", "x"],
            '["cpu", false, null, false, "s.py", "--lr", "3", "--help", "--", "--target", "x"]',
        ),
        (
            ["--target", "npu", "--quiet", "--report", "o.json", "s.py", "--quiet"],
            '["npu", true, "o.json", false, "s.py", "--quiet"]',
        ),
        (
            ["-m", "pkg.mod", "--help", "-m"],
            '["cpu", false, null, true, "pkg.mod", "--help", "-m"]',
        ),
        (["--quiet", "-mpkg.mod", "-q"], '["cpu", true, null, true, "pkg.mod", "-q"]'),
        (["--module=pkg", "a b"], '["cpu", false, null, true, "pkg", "a b"]'),
        (["--target=cpu", "-m", "pkg"], '["cpu", false, null, true, "pkg"]'),
    ],
)
def test_run_passes_everything_on(words: list[str], expected: str):
    done = canopy("run", *words, prelude=FAKE_COMMANDS)
    assert done.stdout.strip() == expected, done.stderr
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("statement", "status", "message"),
    [
        ("raise EOFError('no more input')", 1, "EOFError: no more input"),
        ("raise BrokenPipeError(32, 'gone')", 1, "BrokenPipeError"),
        ("raise ValueError('theirs')", 1, "ValueError: theirs"),
        ("raise SystemExit('stopped')", 1, "stopped"),
        ("raise SystemExit(3)", 3, ""),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt"),
    ],
)
def test_a_script_ends_as_under_python(statement: str, status: int, message: str):
    prelude = textwrap.dedent(FAKE_COMMANDS) + f"\ndef run(*_, **__): {statement}\nfake.run = run\n"
    done = canopy("run", "s.py", prelude=prelude)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Aborted" not in done.stderr


def test_run_takes_the_target_from_the_environment():
    done = canopy("run", "s.py", prelude=FAKE_COMMANDS, CANOPY_TARGET="other")
    assert done.stdout.startswith('["other"')


def test_run_without_script():
    done = canopy("run", "--quiet", prelude=FAKE_COMMANDS)
    assert done.returncode == 2
    assert "nothing to run" in done.stderr
    assert "hint: canopy run train.py" in done.stderr


def test_unknown_option_before_the_script():
    done = canopy("run", "--bogus", "s.py", prelude=FAKE_COMMANDS)
    assert done.returncode == 2
    assert "--bogus" in done.stderr


def test_check(tmp_path: Path):
    done = canopy("check", str(tmp_path), prelude=FAKE_COMMANDS)
    assert (done.returncode, done.stdout) == (0, f"checked {tmp_path}\n")
    missing = canopy("check", str(tmp_path / "none.py"), prelude=FAKE_COMMANDS)
    assert missing.returncode == 2
    assert "there is no such file" in missing.stderr


def test_missing_extra_is_a_hint():
    prelude = """
        import sys, importlib.abc

        class Missing(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.startswith("canopy.frontends.redirect"):
                    raise ModuleNotFoundError("No module named 'torch'", name="torch")

        sys.meta_path.insert(0, Missing())
    """
    done = canopy("run", "s.py", prelude=prelude)
    assert done.returncode == 2
    assert done.stderr == (
        "canopy: the package torch is not installed\nhint: pip install canopy-nn[torch]\n"
    )


def test_bad_variable():
    done = canopy("cache", "info", CANOPY_CACHE_DIR="~nobody-by-this-name")
    assert done.returncode == 2
    assert "CANOPY_CACHE_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_version():
    assert canopy("version").stdout.startswith("canopy 0.")


def test_doctor_prints_hints_and_no_traceback():
    done = canopy("doctor")
    assert done.returncode in {0, 1}, done.stderr
    for word in ("Packages", "Targets", "Machine", "cpu", "cache", "threads"):
        assert word in done.stdout
    assert "Traceback" not in done.stderr


def test_cache(tmp_path: Path):
    cache = tmp_path / "cache"
    (cache / "ab").mkdir(parents=True)
    (cache / "ab" / "kernel.o").write_bytes(b"x" * 2048)
    (cache / "failures").mkdir()
    (cache / "failures" / "1.md").write_text("kept", encoding="utf-8")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept", encoding="utf-8")
    (cache / "link").symlink_to(outside)

    info = canopy("cache", "info", CANOPY_CACHE_DIR=str(cache))
    assert "3 files" in info.stdout
    cleared = canopy("cache", "clear", CANOPY_CACHE_DIR=str(cache))
    assert cleared.returncode == 0, cleared.stderr
    assert [path.name for path in cache.iterdir()] == ["failures"]
    assert (cache / "failures" / "1.md").exists()
    assert (outside / "precious").exists()


def test_cache_clear_spares_what_is_no_cache(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years", encoding="utf-8")
    done = canopy("cache", "clear", CANOPY_CACHE_DIR=str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 2
    assert (tmp_path / "thesis.tex").exists()
    work = tmp_path / "papers"
    work.mkdir()
    (work / "draft.tex").write_text("months", encoding="utf-8")
    assert canopy("cache", "clear", CANOPY_CACHE_DIR=str(work)).returncode == 2
    assert (work / "draft.tex").exists()
    (work / "CACHEDIR.TAG").touch()
    assert canopy("cache", "clear", CANOPY_CACHE_DIR=str(work)).returncode == 0
    assert not (work / "draft.tex").exists()


def test_cache_clear_of_nothing(tmp_path: Path):
    done = canopy("cache", "clear", CANOPY_CACHE_DIR=str(tmp_path / "none"))
    assert done.returncode == 0
    assert "nothing to remove" in done.stdout


def test_report(tmp_path: Path):
    cache = {"CANOPY_CACHE_DIR": str(tmp_path / "cache")}
    nothing = canopy("report", **cache)
    assert nothing.returncode == 0
    assert "No internal failure" in nothing.stderr

    prelude = """
        from canopy.failure import record_failure
        try:
            raise ValueError("no rule for op in /home/alice/k.py")
        except ValueError as error:
            record_failure("strips", "softmax", "def softmax(): ...", "kernel softmax()", error)
    """
    done = canopy("report", prelude=prelude, **cache)
    assert done.returncode == 0, done.stderr
    for part in ("strips", "softmax", "def softmax()", "kernel softmax()", "ValueError", "numpy"):
        assert part in done.stdout
    assert "alice" not in done.stdout
