"""Random valid Python: reading never crashes, no finding means no change, and a second rewrite
changes nothing. The programs are drawn from a grammar, with CUDA in any place of it."""

from __future__ import annotations

import ast
import warnings

import pytest

pytest.importorskip("libcst")

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from canopy.migrate.apply import apply_edits, edits_of
from canopy.migrate.html.sources import hunks_of, lines_of
from canopy.migrate.python_reader import is_relevant, read_python

NAMES = st.sampled_from(["x", "torch", "cuda", "c", "device", "DEVICE", "f", "é", "self", "dev"])
_ATOMS = [
    "1", "0.5", "None", "...", "b'cuda'", "'cuda'", '"cuda:1"', "r'''npu'''", "'nccl'", "u'x'",
    "f'cuda:{x}'", "f'{x!r:>{c}}'", "'cu' 'da'", "'\\x63uda'", "torch.cuda", "torch.float64",
    "torch.cuda.amp.autocast", "torch.cuda.synchronize", "c.is_available", "torch_npu.npu",
]  # fmt: skip
_STATEMENTS = [
    "import torch", "import torch as c", "from torch import cuda", "from torch import cuda as c",
    "from torch.cuda import *", "from torch.cuda.amp import (autocast,\n  GradScaler as c)",
    "import torch.cuda as torch", "from . import x", "from .. import cuda", "global x",
    "import torch_npu", "from apex.normalization import FusedLayerNorm as f", "import a.b, cupy",
    "pass", "...", "'''torch.cuda'''", "# cuda", "x; torch.cuda.synchronize(); y", "break",
    "torch.cuda.set_device(0)", "print(torch.cuda.memory_allocated())", "from x import *",
    "torch.distributed.init_process_group('nccl')", "x = 1; import torch", "raise x from c",
    "type x = int", "x.cuda(\n)", "x.cuda (non_blocking=True)", "x \\\n  .cuda()",
]  # fmt: skip
_OPERATORS = ["+", "==", "and", "in", "is", "@", "**"]
ATOMS = st.one_of(NAMES, st.sampled_from(_ATOMS))


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    argument = st.one_of(
        inner,
        inner.map("*{}".format),
        inner.map("**{}".format),
        st.builds(
            "{}={}".format, st.sampled_from(["device", "map_location", "backend", "k"]), inner
        ),
    )
    arguments = st.lists(argument, max_size=3).map(", ".join)
    return st.one_of(
        st.builds(
            "{}.{}".format, inner, st.sampled_from(["cuda", "to", "npu", "is_cuda", "synchronize"])
        ),
        st.builds("{}({})".format, inner, arguments),
        st.builds("{}({},)".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(_OPERATORS), inner),
        st.builds("[{} for {} in {} if {}]".format, inner, NAMES, inner, inner),
        st.builds("{{{}: {}, **{}}}".format, inner, inner, inner),
        st.builds("(lambda {}, *, k={}: {})".format, NAMES, inner, inner),
        st.builds("({} := {})".format, NAMES, inner),
        st.builds("{}[{}:{}, ...]".format, inner, inner, inner),
        st.builds("getattr({}, {})".format, inner, inner),
        st.builds("(not {})".format, inner),
        st.builds("(await {})".format, inner),
        st.builds("(  # cuda\n{}\n)".format, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, compound, max_leaves=8)
SIMPLE = st.one_of(
    EXPRESSIONS,
    st.builds("{} = {}".format, NAMES, EXPRESSIONS),
    st.builds("{}: {} = {}".format, NAMES, ATOMS, EXPRESSIONS),
    st.builds("{} = x.y = {}".format, NAMES, EXPRESSIONS),
    st.builds("return {}".format, EXPRESSIONS),
    st.builds("del {}".format, NAMES),
    st.builds("assert {}, {}".format, EXPRESSIONS, EXPRESSIONS),
    st.sampled_from(_STATEMENTS),
)


def indented(lines: list[str], unit: str) -> str:
    return "\n".join(unit + line for text in lines for line in text.split("\n"))


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    head = st.one_of(
        st.builds("if {}:".format, EXPRESSIONS),
        st.builds("for {} in {}:".format, NAMES, EXPRESSIONS),
        st.builds("with {} as {}:".format, EXPRESSIONS, NAMES),
        st.builds("def f({}={}, *args, device={}):".format, NAMES, EXPRESSIONS, ATOMS),
        st.builds("@{}\nasync def f({}, /) -> {}:".format, ATOMS, NAMES, ATOMS),
        st.builds("class cuda({}):".format, ATOMS),
        st.builds("while {}:".format, EXPRESSIONS),
    )
    body = st.lists(inner, min_size=1, max_size=3)
    unit = st.sampled_from(["    ", "\t", " "])
    whole = st.builds(lambda h, b, u: f"{h}\n{indented(b, u)}", head, body, unit)
    guarded = st.builds(
        lambda b, h: f"try:\n{indented(b, '  ')}\nexcept ImportError:\n{indented(h, '  ')}",
        body,
        body,
    )
    return st.one_of(whole, guarded)


STATEMENTS = st.recursive(SIMPLE, blocks, max_leaves=6)
PROGRAMS = st.lists(STATEMENTS, max_size=6).map("\n".join)


def is_valid(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(
    PROGRAMS, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\n", "\n\n  "]), st.booleans()
)
def test_reading_and_rewriting(source: str, newline: str, end: str, marked: bool):
    assume(is_valid(source))
    data = (("\ufeff" if marked else "") + source + end).replace("\n", newline).encode()
    report = read_python(data, "file.py")
    assert not report.note, report.note
    edits = edits_of(report)
    if not report.findings:
        assert edits == []
    elif not is_relevant(data):
        raise AssertionError("a file that was not to be read has findings")
    after = apply_edits(data, edits)
    assert is_valid(after.decode("utf-8-sig"))
    again = read_python(after, "file.py")
    assert not again.note, again.note
    assert edits_of(again) == []
    lines = lines_of(data)
    for line, count, new in reversed(hunks_of(data, edits)):
        lines[line - 1 : line - 1 + count] = new
    assert lines == lines_of(after)
    for finding in report.findings:
        text = data.split(b"\n")[finding.line - 1].decode("utf-8-sig")
        assert 1 <= finding.column <= len(text) + 1
