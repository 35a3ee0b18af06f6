"""`--prove`: a program before and after the rewrite, compared by what it prints and writes."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("libcst")

from canopy.errors import CanopyError
from canopy.migrate.command import Options, migrate
from canopy.migrate.comparison import compare_files, compare_text
from canopy.migrate.formats import SCHEMA
from canopy.migrate.project import read_project
from canopy.migrate.prove import command_under_canopy, prove

PROGRAM = """
import random, sys, pathlib
import torch
import helper
import triton
import triton.language as tl

@triton.jit
def twice(x, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(x + i, tl.load(x + i) * 2)

def run(x):
    twice[(1,)](x, B=8)
    return x

print(run(torch.ones(8, device="cuda")).sum().item())
torch.manual_seed(3)
model = torch.nn.Linear(8, 4).cuda()
x = torch.randn(5, 8, device="cuda")
for step in range(int(sys.argv[2])):
    seconds = random.SystemRandom().random()
    print(f"step {step}: loss {model(x).square().mean().item():.9f} in {seconds} s")
torch.cuda.synchronize()
pathlib.Path("out").mkdir()
torch.save(model.state_dict(), "out/model.pt")
pathlib.Path("data.txt").write_text(pathlib.Path("data.txt").read_text() + helper.word())
print(pathlib.Path.cwd())
"""


HELPER = """
import torch

def word():
    return str(torch.ones(1).cuda())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))
    source = Path(__file__).resolve().parents[2] / "src"
    paths = [str(source), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    root = tmp_path / "project"
    (root / ".git").mkdir(parents=True)
    (root / "train.py").write_text(PROGRAM)
    (root / "helper.py").write_text(
        "import torch\ndef word():\n    return str(torch.ones(1).cuda())\n"
    )
    (root / "data.txt").write_text("1\n")
    return root


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_program_is_proved(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """By the command, in a folder of the project; a kernel that nobody could decide is decided."""
    pytest.importorskip("triton")
    jsonschema = pytest.importorskip("jsonschema")
    monkeypatch.chdir(folder)
    before = files_of(folder)
    report = folder.parent / "report.json"
    options = Options(prove="python -u train.py --steps 2", json_path=report, jobs=1)
    assert migrate(folder, options) == 0
    assert files_of(folder) == before, "the user's files are only read"
    told = capsys.readouterr().out
    assert "both did the same: 2 lines printed were compared, 2 it does not repeat" in told
    assert "twice (1 launches)" in told
    data = json.loads(report.read_text())
    jsonschema.validate(data, SCHEMA)
    proof = data["proof"]
    assert (proof["holds"], proof["files_changed"], proof["files"]["compared"]) == (True, 2, 2)
    assert proof["before"]["redirected"]
    (kernel,) = [f for file in data["files"] for f in file["findings"] if "twice" in f["what"]]
    assert (kernel["status"]["cpu"], kernel["why"]) == ("runs", "cpu: it ran in the proof")


def test_what_differs_is_told(folder: Path):
    pytest.importorskip("torch")
    (folder / "train.py").write_text(
        "import torch\nx = torch.ones(2).cuda()\nn = len(list(open(__file__)))\n"
        "print(n)\nraise SystemExit(n)"
    )
    proof = prove(read_project(folder, jobs=1), "python train.py")
    assert not proof.is_equal
    assert proof.output.differences == ["line 1: '5' became '7'"]
    assert (proof.before.exit_code, proof.after.exit_code) == (5, 7)


def test_commands():
    run = [sys.executable, "-m", "canopy", "run"]
    report = ["--quiet", "--report", "{report}"]
    assert command_under_canopy("python3.11 -u -W error t.py -x") == [*run, *report, "t.py", "-x"]
    assert command_under_canopy("python -m pkg a") == [*run, *report, "-m", "pkg", "a"]
    assert command_under_canopy("A=1 python t.py")[:2] == ["env", "A=1"]
    assert command_under_canopy("make 'a b'") == [*run, "--", "make", "a b"]
    for wrong in ("", "python", "python -c pass", "'"):
        with pytest.raises(CanopyError):
            command_under_canopy(wrong)


@pytest.mark.parametrize(
    ("before", "after", "equal"),
    [
        ("loss 1.00000", "loss 1.00001", True), ("loss 1.0", "loss 1.1", False),
        ("a 1e-9", "a 2e-9", True), ("x3 1", "x4 1", False), ("1 2", "1", False),
        ("a\nb", "a", False), ("nan", "nan", True), ("v1.2.3", "v1.2.4", False),
        ("[1.0, -2.5e3]", "[1.0, -2500.01]", True), ("", "", True),
    ],
)  # fmt: skip
def test_text_is_compared_by_numbers(before: str, after: str, equal: bool):
    assert (not compare_text(before, after).differences) == equal


def test_what_a_program_does_not_repeat_tells_nothing():
    found = compare_text("a 1\nt 5\nb", "a 1\nt 9\nc", "a 1\nt 7\nb")
    assert (found.compared, found.unstable, len(found.differences)) == (2, 1, 1)
    found = compare_files({"a": b"1", "b": b"x"}, {"a": b"2", "b": b"y"}, {"a": b"3", "b": b"x"})
    assert (found.compared, found.unstable, found.differences) == (
        1, 1, ["b: the contents differ"],
    )  # fmt: skip


def test_files_are_compared_by_their_kind():
    numpy = pytest.importorskip("numpy")

    def saved(*values: float) -> bytes:
        stream = io.BytesIO()
        numpy.save(stream, numpy.array(values))
        return stream.getvalue()

    def archive(data: bytes, year: int) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            file.writestr(zipfile.ZipInfo("m", (year, 1, 1, 0, 0, 0)), data)
        return stream.getvalue()

    def same(one: bytes, other: bytes) -> bool:
        return not compare_files({"f": one}, {"f": other}).differences

    assert same(saved(1.0, 2.0), saved(1.0, 2.00001))
    assert not same(saved(1.0, 2.0), saved(1.0, 2.1))
    assert not same(saved(1.0), saved(1.0, 1.0))
    assert same(archive(saved(1.0), 2000), archive(saved(1.00001), 2001))
    assert not same(archive(b"\xff1", 2000), archive(b"\xff2", 2000))
    assert not same(b"\xff", b"\xfe")
    assert compare_files({"f": b""}, {}).differences == ["f: written by the old one alone"]
