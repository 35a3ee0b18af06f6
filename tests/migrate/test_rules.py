"""The rules are data: well formed, and each does what its own two examples say."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("libcst")

from canopy.migrate.cuda_reader import read_cuda
from canopy.migrate.document import page
from canopy.migrate.findings import Effort, FileReport, Status
from canopy.migrate.kernels import judge_kernels
from canopy.migrate.project import read_project
from canopy.migrate.python_reader import read_python
from canopy.migrate.rules import Rule, all_rules, find_by_name, parse_rules
from canopy.migrate.statuses import cpu_status
from canopy.migrate.text_reader import read_text

IMPORTS = "import torch\nimport torch_npu\n"


def read(rule: Rule, text: str) -> FileReport:
    if rule.reader == "compiled":
        return compiled(rule, text)
    if rule.reader == "text":
        return read_text(text.encode(), "file", rule.kinds[0])
    if rule.reader in ("cuda", "include", "code"):
        return read_cuda(f"// <<<\n{text}".encode(), "file.cu", "cuda")
    is_torch = "torch" in text and "import" not in text
    return read_python((IMPORTS if is_torch else "").encode() + text.encode(), "file.py")


def compiled(rule: Rule, text: str) -> FileReport:
    pytest.importorskip("ziglang")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / {"python": "file.py", "cuda": "file.cu"}[rule.kinds[0]]
        file.write_text(text)
        project = read_project(file, jobs=1)
        judge_kernels(project, jobs=1)
        return project.files[0]


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_a_rule_finds_its_example_and_not_the_other(rule: Rule):
    found = read(rule, rule.positive)
    assert not found.note
    assert rule.id in [finding.rule for finding in found.findings]
    if rule.rewrite and rule.id != "torch_npu":
        efforts = {f.effort for f in found.findings if f.rule == rule.id}
        assert Effort.AUTOMATIC in efforts
    if rule.id != "torch_npu":  # its import stands above every example
        assert rule.id not in [finding.rule for finding in read(rule, rule.negative).findings]


def test_names_are_unique_and_advice_is_given():
    ids = [rule.id for rule in all_rules()]
    assert len(ids) == len(set(ids))
    names = [name for rule in all_rules() if rule.reader == "name" for name in rule.match]
    assert len(names) == len(set(names))
    assert all(len(rule.advice) > 3 for rule in all_rules())


GOOD = """
[[rule]]
id = "x"
reader = "text"
match = ["a+"]
effort = "low"
advice = "do"
positive = "a"
negative = "b"
"""


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        ('advice = "do"', "", "no advice"),
        ('advice = "do"', 'advice = "do"\ncolour = 1', "unknown colour"),
        ('reader = "text"', 'reader = "nobody"', "no reader"),
        ('effort = "low"', 'effort = "automatic"', "go together"),
        ('effort = "low"', 'effort = "huge"', "huge"),
        ('"a+"', '"a("', "rule x"),
    ],
)
def test_the_schema_refuses(old: str, new: str, fact: str):
    assert parse_rules(GOOD)[0].id == "x"
    with pytest.raises(ValueError, match=re.escape(fact)):
        parse_rules(GOOD.replace(old, new))


def test_the_nearest_name_above_speaks():
    rule = find_by_name("torch.cuda.synchronize")
    assert rule is not None
    assert rule.id == "torch.cuda.synchronize"
    above = find_by_name("torch.cuda.something_new.deep")
    assert above is not None
    assert above.id == "torch.cuda"
    assert find_by_name("torchvision.models") is None


def test_statuses_come_from_the_front_ends():
    cupy, cuda = find_by_name("cupy.zeros"), find_by_name("torch.cuda.Event")
    assert cupy is not None
    assert cuda is not None
    assert cpu_status(cupy, "cupy.zeros") is Status.UNSUPPORTED
    assert cpu_status(cuda, "torch.cuda.Event") is Status.RUNS
    found = read_cuda(b"void f() { cudaMalloc(0, 1); cudaNobodyHasThis(); }", "a.cu", "cuda")
    assert [f.status["cpu"] for f in found.findings] == [Status.RUNS, Status.UNSUPPORTED]


def test_the_page_of_rules_is_up_to_date():
    path = Path(__file__).resolve().parents[2] / "docs" / "reference" / "migrate-rules.md"
    assert path.read_text(encoding="utf-8") == page(), "python -m canopy.migrate.document > " + str(
        path.relative_to(path.parents[2])
    )
