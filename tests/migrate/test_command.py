"""The command on whole projects: reports, rewriting in place, and projects that mean harm."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("libcst")

from canopy.errors import CanopyError
from canopy.migrate.command import Options, migrate
from canopy.migrate.document import json_page
from canopy.migrate.findings import Effort
from canopy.migrate.formats import SCHEMA, to_json, to_sarif
from canopy.migrate.project import Project, read_project
from canopy.migrate.summary import next_steps
from tests.migrate.sarif_schema import SARIF

FILES = {
    "train.py": "import torch\nx = torch.zeros(3).cuda()\nimport cupy\n",
    "src/pkg/__init__.py": "",
    "src/pkg/ok.py": "print('nothing')\n",
    "src/pkg/k.cu": "__global__ void k() {}\nint main() { cublasCreate(0); k<<<1, 1>>>(); }\n",
    "requirements.txt": "torch\nflash-attn==2.0  # fast\n# cupy\n",
    "Dockerfile": "FROM nvidia/cuda:12.4\nRUN nvidia-smi\n",
    "Makefile": "app: app.cu\n\tnvcc -arch=sm_80 -o app app.cu -lcublas\n",
    "run.sh": "CUDA_VISIBLE_DEVICES=0 python train.py\n",
    "demo.ipynb": json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "source": ["torch.cuda"]},
                {"cell_type": "code", "source": ["%time 1\n", "!ls\n", "import torch"]},
                {"cell_type": "code", "source": "torch.cuda.synchronize()"},
            ]
        }
    ),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def rules_in(project: Project) -> dict[str, set[str]]:
    return {file.path: {f.rule for f in file.findings} for file in project.files if file.findings}


def test_every_kind_of_file_is_read(folder: Path):
    project = read_project(folder, jobs=1)
    assert rules_in(project) == {
        "train.py": {"method.cuda", "package.cupy"},
        "src/pkg/k.cu": {"cuda.kernel", "cuda.cublas", "cuda.launch", "tuning.block-size"},
        "requirements.txt": {"text.requirement"},
        "Dockerfile": {"text.cuda-image", "text.nvidia-smi"},
        "Makefile": {"text.nvcc", "text.arch-flags", "text.cuda-libraries"},
        "run.sh": {"text.visible-devices"},
        "demo.ipynb": {"torch.cuda.synchronize"},
    }
    (notebook,) = (file for file in project.files if file.kind == "notebook")
    assert [(f.line, f.effort, f.edits) for f in notebook.findings] == [(4, Effort.LOW, ())]
    assert next_steps(project)[0].count == 1


def test_the_cache_answers_alike_and_follows_the_content(folder: Path):
    first, second = read_project(folder, jobs=1), read_project(folder, jobs=1)
    assert first == second
    (folder / "train.py").write_text("import torch\n")
    assert "train.py" not in rules_in(read_project(folder, jobs=1))


def test_many_files_in_processes_give_the_same(folder: Path):
    for number in range(30):
        (folder / f"m{number}.py").write_text(f"import torch\ntorch.cuda.set_device({number})\n")
    parallel = read_project(folder, jobs=2)
    assert parallel == read_project(folder, jobs=1)
    assert len(rules_in(parallel)) == 37


def test_json_and_sarif(folder: Path):
    jsonschema = pytest.importorskip("jsonschema")
    project = read_project(folder, jobs=1)
    data = json.loads(json.dumps(to_json(project)))
    jsonschema.validate(data, SCHEMA)
    assert data["totals"]["uses"] == project.total == sum(data["totals"]["effort"].values())
    sarif = json.loads(json.dumps(to_sarif(project)))
    jsonschema.validate(sarif, SARIF)
    if whole := os.environ.get("CANOPY_SARIF_SCHEMA"):
        jsonschema.validate(sarif, json.loads(Path(whole).read_text(encoding="utf-8-sig")))
    (run,) = sarif["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == project.total - project.count(Effort.NONE)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (place,) = result["locations"]
        assert (folder / place["physicalLocation"]["artifactLocation"]["uri"]).is_file()


def test_the_schemas_can_fail(folder: Path):
    jsonschema = pytest.importorskip("jsonschema")
    project = read_project(folder, jobs=1)
    sarif, data = to_sarif(project), to_json(project)
    sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    data["files"][0]["colour"] = "red"
    for document, schema in ((sarif, SARIF), (data, SCHEMA)):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, schema)


def test_the_page_of_the_json_is_up_to_date():
    path = Path(__file__).resolve().parents[2] / "docs" / "reference" / "migrate-json.md"
    command = "python -m canopy.migrate.document json"
    assert path.read_text(encoding="utf-8") == json_page(), f"{command} > {path}"


def test_the_table_tells_folders_and_the_files_with_most_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    for number in range(40):
        (folder / "many").mkdir(exist_ok=True)
        (folder / "many" / f"m{number}.py").write_text("import torch\nx = torch.x('cuda:1')\n")
    assert migrate(folder, Options(jobs=1)) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line[: line.index("  ", 2)] for line in lines if "%" in line and "Of all" not in line]
    assert names[0] == "./"
    assert {"  train.py", "src/pkg/", "  k.cu", "many/"} <= set(names)
    shown = sum(name.startswith("  ") for name in names)
    assert shown == 24
    assert any("... and 23 more files" in line for line in lines)
    (steps,) = (lines[at:] for at, line in enumerate(lines) if line.startswith("  1. "))
    assert "--apply" in steps[0]
    assert "40 uses: string.device-index" in steps[1]
    assert "package.cupy" in steps[2]


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_apply_refuses_a_dirty_tree_and_changes_only_what_it_must(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    git(folder, "init", "-q")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".git" not in p.parts}
    with pytest.raises(CanopyError, match="not committed"):
        migrate(folder, Options(apply=True, jobs=1))
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "all")
    assert migrate(folder, Options(diff=True, jobs=1)) == 0
    assert "+x = torch.zeros(3).to(DEVICE)" in capsys.readouterr().out
    os.chmod(folder / "train.py", 0o750)
    git(folder, "commit", "-qam", "mode")
    assert migrate(folder, Options(apply=True, jobs=1)) == 0
    changed = [p.name for p, data in before.items() if p.read_bytes() != data]
    assert changed == ["train.py"]
    assert (folder / "train.py").stat().st_mode & 0o777 == 0o750
    assert migrate(folder, Options(apply=True, force=True, jobs=1)) == 0
    assert "nothing to rewrite" in capsys.readouterr().out


def test_a_file_and_a_missing_one(tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("import cupy\n")
    assert rules_in(read_project(script)) == {"script": {"package.cupy"}}
    with pytest.raises(CanopyError, match="No such file"):
        read_project(tmp_path / "nothing")
    with pytest.raises(CanopyError, match="cannot be written"):
        migrate(script, Options(json_path=tmp_path / "no" / "r.json"))
