"""Reads CUDA C++ by its words: kernels, launches, functions of CUDA's libraries, headers, PTX.

Comments and strings are blanked out first, so every position is the file's own. Whether a function
or header exists on the cpu target is asked of the front-end's own headers (`statuses`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from canopy.frontends.cuda.host_functions import device_spans, without_comments
from canopy.migrate.findings import Effort, FileReport, Finding, Status
from canopy.migrate.rules import Rule, rules_of
from canopy.migrate.statuses import asked_status

__all__ = ["is_cuda", "read_cuda"]

_IS_CUDA = re.compile(
    rb"__global__|__device__|__host__|__shared__|<<<|\bcu[A-Z]\w|\bcuda\w|\bcublas|\bnccl|\bthrust\b"
    rb"|CUDA|__half|threadIdx|blockIdx|\bdim3\b|\batomic[A-Z]|__sync|__shfl|bfloat16|::cuda|\bcute|\bcutlass|cooperative_groups|\bnvcuda|\bnvtx|is_cuda"
)
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"\n]+)[>\"]", re.M)
_INCLUDE_LINE = re.compile(r"^[ \t]*#[ \t]*include\b[^\n]*", re.M)
_ANYWHERE = ("#", "<<<", "__launch_bounds__")
_WORD = re.compile(r"\b[A-Za-z_]\w*\b|<<<")
_KERNEL = re.compile(r"\b__global__\b")


def is_cuda(data: bytes) -> bool:
    """Whether a C++ file can hold a finding at all."""
    return _IS_CUDA.search(data) is not None


def read_cuda(data: bytes, path: str, kind: str) -> FileReport:
    """The findings of a C++ or CUDA C++ source."""
    report = FileReport(path, kind, lines=data.count(b"\n") + 1)
    if not is_cuda(data):
        return report
    text = data.decode("utf-8", "replace")
    code = without_comments(text)
    starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def add(at: int, rule: Rule, what: str, cpu: Status) -> None:
        line = bisect_right(starts, at)
        effort = _effort(rule, cpu)
        status = {"cpu": cpu, "ascend": rule.ascend, "nvidia": rule.nvidia}
        place = (line, at - starts[line - 1] + 1)
        report.findings.append(
            Finding(rule.id, *place, what, effort, status, why=rule.why, advice=rule.advice)
        )

    for match in _INCLUDE.finditer(text):
        if code[match.start()] == " " and text[match.start()] != " ":
            continue  # in a comment
        for rule in rules_of("include"):
            if rule.pattern.match(match[2]):
                cpu = asked_status(rule, match[2])
                add(match.start(2), rule, f"#include <{match[2]}>", cpu)
                break
    for at, word, rule in _words(_INCLUDE_LINE.sub(_blank, code)):
        add(at, rule, word, asked_status(rule, word))
    for at, piece, rule in _pieces(code):
        add(at, rule, piece, asked_status(rule, piece))
    report.findings.sort(key=lambda finding: (finding.line, finding.column))
    return report


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _words(code: str) -> Iterator[tuple[int, str, Rule]]:
    """Each identifier that a rule knows, with the first such rule."""
    known: dict[str, Rule | None] = {}
    for match in _WORD.finditer(code):
        word = match[0]
        if word not in known:
            known[word] = _rule_of(word)
        rule = known[word]
        if rule is not None:
            yield match.start(), word, rule


def _pieces(code: str) -> Iterator[tuple[int, str, Rule]]:
    """What the patterns of rules find: directives and launches anywhere, the rest on devices."""
    spans = device_spans(code)
    starts = [start for start, _ in spans]
    for rule in rules_of("code"):
        for match in rule.pattern.finditer(code):
            at, piece = match.start(), " ".join(match[0].split())
            span = bisect_right(starts, at) - 1
            is_on_device = span >= 0 and at < spans[span][1]
            if is_on_device or piece.startswith(_ANYWHERE):
                yield at, piece, rule


def _rule_of(word: str) -> Rule | None:
    return next((rule for rule in rules_of("cuda") if rule.pattern.fullmatch(word)), None)


def _effort(rule: Rule, cpu: Status) -> Effort:
    """What the cpu target runs needs nobody; the rule's effort is for what it lacks."""
    if cpu in (Status.RUNS, Status.CAVEAT):
        return Effort.NONE
    if cpu is Status.UNDECIDED and rule.effort is Effort.NONE:
        return Effort.LOW  # compiling it tells
    return rule.effort if rule.effort is not Effort.NONE else Effort.MEDIUM
