"""Verdicts on the kernels of a project: each source is compiled, and the findings are told so.

In: a project that was read. Out: the same, where every `cuda.kernel` has its status, and kernels in
strings of Python programs are findings too. Sources are compiled in processes of their own, within
a time limit, and nothing of the project is executed. What no compilation reached stays undecided.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from canopy import config
from canopy.errors import CanopyError
from canopy.frontends.cuda.objects import compiler_stamp
from canopy.migrate.compiling import Unit, compile_unit
from canopy.migrate.findings import Effort, FileReport, Finding, Status
from canopy.migrate.includes import Closure, Sources
from canopy.migrate.kernel_text import KernelText, StringSource, kernels_in, sources_in_strings
from canopy.migrate.launch_sites import TritonKernel, triton_kernels
from canopy.migrate.project import Project
from canopy.migrate.rules import rule_named
from canopy.migrate.walker import read_bytes
from canopy.migrate.workers import run_all
from canopy.runtime.cache import DiskCache

__all__ = ["KERNEL_SECONDS", "judge_kernels"]

KERNEL_SECONDS = 60.0  # for all the kernels of a project; the rest is undecided, and told so
EACH_S = 30.0  # after which a source is given up; one that hangs is ended later
_FLAG = re.compile(rb"(?<![\w-])-(D[A-Z_][A-Z0-9_]*(?:=\w+)?|std=(?:c|gnu)\+\+\d\w)(?![\w$({])")
_STANDARDS = {"14": "14", "17": "17", "20": "20", "2a": "20", "23": "20", "11": "14"}
_NO_INSTANCE = "no instance of this template was compiled"
_HOST_FAILS = "the code of the host that would make an instance of it does not compile here: "
_TORCHS = re.compile(r"namespace '(?:torch|at|c10|pybind11)\b|'(?:torch|ATen|c10|pybind11|THC)/")
_OF_A_MACRO = "a macro makes this kernel"
_NO_TIME = "it was not compiled in the time for kernels: --kernel-seconds gives more"
_FILLED_IN = "the program completes this text when it runs"
Progress = Callable[[int, int], None]


def judge_kernels(
    project: Project,
    *,
    seconds: float = KERNEL_SECONDS,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Compiles the kernels of ``project`` and writes the verdicts into its reports. ``seconds``: as
    long as that, at most; what was compiled before comes from the cache."""
    try:
        plan = _plan(project)
        answers = _compiled(plan, seconds, jobs or config.num_threads(), progress)
    except CanopyError:  # no clang, no cache: reading alone cannot tell
        return
    verdicts = _Verdicts(project, plan, answers)
    for report in project.files:
        if report.kind in ("cuda", "cpp"):
            _tell(report, verdicts)
    for report, source, unit in plan.strings:
        _tell_string(report, source, answers.get(unit), unit is None)
    for report, kernel, unit in plan.triton:
        _tell_triton(report, kernel, answers.get(unit))


# ---- what is compiled --------------------------------------------------------------------------


@dataclass
class _Plan:
    """The units of a project, by the path or the string that they stand for."""

    sources: dict[str, Unit]
    closures: dict[str, Closure]
    strings: list[tuple[FileReport, StringSource, Unit | None]] = field(default_factory=list)
    triton: list[tuple[FileReport, TritonKernel, Unit | None]] = field(default_factory=list)

    def units(self) -> list[Unit]:
        """Those with little to read first: many verdicts in the time there is."""
        others = (unit for _, _, unit in (*self.strings, *self.triton) if unit is not None)
        found = [*self.sources.values(), *others]
        return sorted(dict.fromkeys(found), key=lambda unit: (len(unit.files), len(unit.text)))


def _plan(project: Project) -> _Plan:
    readable = [file for file in project.files if not file.note]
    folder = project.root if project.root.is_dir() else project.root.parent
    sources = Sources(folder, [f.path for f in readable if f.kind in ("cuda", "cpp")])
    flags = _flags(project, readable)
    plan = _Plan({}, {})
    with_kernels = [f.path for f in readable if any(x.rule == "cuda.kernel" for x in f.findings)]
    if with_kernels:
        reached: set[str] = set()
        roots = [f.path for f in readable if f.kind == "cuda" and f.path.endswith(".cu")]
        for path in roots:
            closure = sources.closure(path)
            if reached_here := set(closure.files) & set(with_kernels):
                reached |= reached_here
                _add_source(plan, folder, path, closure, flags)
        for path in sorted(set(with_kernels) - reached):
            _add_source(plan, folder, path, sources.closure(path), flags)
    for report in readable:
        if report.kind == "python":
            with suppress(OSError):
                data = read_bytes(project.path_of(report))
                _add_strings(plan, report, data)
                _add_triton(plan, report, data)
    return plan


def _flags(project: Project, files: Iterable[FileReport]) -> tuple[str, ...]:
    """Macros and the standard of C++ that the build files at the top name as plain words."""
    macros: dict[str, None] = {}
    standard = "17"
    for file in files:
        is_build = file.path.rpartition("/")[2] == "setup.py" or file.kind == "build"
        if not is_build or file.path.count("/") > 1:
            continue
        with suppress(OSError):
            for word in _FLAG.findall(read_bytes(project.path_of(file))):
                text = word.decode()
                if text.startswith("D"):
                    macros[f"-{text}"] = None
                else:
                    standard = max(standard, _STANDARDS.get(text[-2:], "17"))
    return (*macros, f"-std=c++{standard}")


def _add_source(
    plan: _Plan, folder: Path, path: str, closure: Closure, flags: tuple[str, ...]
) -> None:
    try:
        text = read_bytes(folder / path).decode("utf-8", "replace")
    except OSError:
        return
    files = tuple(str(_absolute(folder, file)) for file in closure.files)
    own = [_absolute(folder, place) for place in closure.folders]
    options = (*flags, *(f"-I{place}" for place in own))
    names = _operator_names() if closure.wants_torch else ""
    plan.closures[path] = closure
    plan.sources[path] = Unit(
        "cuda", files[0], text, files, options, closure.wants_torch, names, EACH_S
    )


def _absolute(folder: Path, path: str) -> Path:
    return folder.resolve() / path


def _add_strings(plan: _Plan, report: FileReport, data: bytes) -> None:
    for number, source in enumerate(sources_in_strings(data)):
        plan.strings.append((report, source, _string_unit(report.path, number, source)))


def _add_triton(plan: _Plan, report: FileReport, data: bytes) -> None:
    for kernel in triton_kernels(data):
        launch, unit = kernel.launch, None
        if launch is not None and not launch.gap:
            types, constants = tuple(launch.types.items()), tuple(launch.constants.items())
            text = data.decode("utf-8", "replace")
            unit = Unit("triton", report.path, text, kernel=kernel.name, types=types,
                        constants=constants)  # fmt: skip
        plan.triton.append((report, kernel, unit))


def _string_unit(path: str, number: int, source: StringSource) -> Unit | None:
    if source.is_filled_in:
        return None
    wants_torch = bool(re.search(r"\b(torch|at|c10)::|\b(torch|ATen|c10)/", source.text))
    headers = ["assert.h", "stdio.h", *(["torch/extension.h"] if wants_torch else [])]
    options = tuple(word for header in headers for word in ("-include", header))
    instances = [
        f"__device__ __attribute__((used)) const void* const canopy_asked_{at} = "
        f"(const void*)&{text};"
        for at, text in enumerate(source.expressions)
    ]
    text = "\n".join([source.text, *instances])
    names = _operator_names() if wants_torch else ""
    file = f"/canopy/{path}.{number}.cu"
    return Unit("cuda", file, text, (), options, wants_torch, names, EACH_S)


def _operator_names() -> str:
    """The folder with the names of torch's operators; empty without torch. Written once, by a
    process that imports torch."""
    script = "from canopy.frontends.cuda.extension import operator_names as n; print(n())"
    if not _known_names:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        _known_names.append(done.stdout.strip() if done.returncode == 0 else "")
    return _known_names[0]


_known_names: list[str] = []


# ---- compiling ---------------------------------------------------------------------------------


def _compiled(
    plan: _Plan, seconds: float, jobs: int, progress: Progress | None
) -> dict[Unit | None, Any]:
    """The answer for each unit that was compiled, now or before."""
    cache = DiskCache(config.cache_dir() / "migrate")
    answers: dict[Unit | None, Any] = {}
    fresh: list[tuple[Unit, str]] = []
    for unit in plan.units():
        key = _key(unit)
        known = cache.get(key)
        if known is None:
            fresh.append((unit, key))
        else:
            answers[unit] = json.loads(known)
    if not fresh or seconds <= 0:
        return answers
    made = run_all(
        *(compile_unit, [unit for unit, _ in fresh]),
        jobs=min(jobs, len(fresh)),
        each_s=max(EACH_S * 2, seconds / 2),
        total_s=seconds,
        progress=progress,
    )
    for (unit, key), answer in zip(fresh, made, strict=True):
        if answer is not None:
            answers[unit] = answer
            cache.put(key, json.dumps(answer).encode())
    return answers


def _key(unit: Unit) -> str:
    digest = hashlib.sha256(repr(unit).encode())
    for file in unit.files:
        with suppress(OSError):
            digest.update(read_bytes(Path(file)))
    return f"migrate-kernels {compiler_stamp()} {config.chip()} {digest.hexdigest()}"


# ---- what is told ------------------------------------------------------------------------------


class _Verdicts:
    """By file and kernel: what the compilations said; and by file: what stood in their way."""

    def __init__(self, project: Project, plan: _Plan, answers: Mapping[Unit | None, Any]) -> None:
        folder = project.root if project.root.is_dir() else project.root.parent
        self.folder = str(folder.resolve()) + "/"
        self.root = project
        self.kernels: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self.errors: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        self.obstacles: dict[str, list[Any]] = defaultdict(list)
        self.unreached: set[str] = set()
        for path, unit in plan.sources.items():
            self._add(path, plan.closures[path], answers.get(unit))

    def _add(self, path: str, closure: Closure, answer: Any) -> None:
        if answer is None:
            self.unreached.update(closure.files)
            return
        for kernel in answer["kernels"]:
            name = kernel["name"].partition("<")[0].rpartition("::")[2]
            self.kernels[self.relative(kernel["file"]), name].append(kernel)
        if answer["error"] is not None:
            for file in closure.files:
                self.errors[file].append((path, _cause(path, answer)))
        for obstacle in answer["obstacles"]:
            self.obstacles[self.relative(obstacle[0])].append(obstacle)

    def relative(self, file: str) -> str:
        return file.removeprefix(self.folder)

    def shown(self, text: str) -> str:
        """A message with the names of files as the report has them."""
        return text.replace(self.folder, "")

    def of(self, path: str, kernel: KernelText, next_line: int) -> list[dict[str, Any]]:
        """The compiled kernels that stand at this place of the text."""
        found = self.kernels.get((path, kernel.name), [])
        if not kernel.is_definition:
            return found
        here = [one for one in found if kernel.line <= one["line"] < next_line]
        return here or (found if len({one["line"] for one in found}) == 1 else [])


def _tell(report: FileReport, verdicts: _Verdicts) -> None:
    """Puts the verdicts into the findings of a CUDA C++ file."""
    is_asked = any(finding.rule == "cuda.kernel" for finding in report.findings)
    if not is_asked and report.path not in verdicts.obstacles:
        return
    try:
        data = read_bytes(verdicts.root.path_of(report))
    except OSError:
        return
    texts = kernels_in(data.decode("utf-8", "replace"))
    lines = [kernel.line for kernel in texts]
    by_place = {(kernel.line, kernel.column): kernel for kernel in texts}
    for at, finding in enumerate(report.findings):
        kernel = by_place.get((finding.line, finding.column))
        if finding.rule == "cuda.kernel" and kernel is not None:
            behind = bisect.bisect_right(lines, kernel.line)
            next_line = lines[behind] if behind < len(lines) else sys.maxsize
            report.findings[at] = _judged(finding, report.path, kernel, next_line, verdicts)
    _add_obstacles(report, verdicts)


def _judged(
    finding: Finding, path: str, kernel: KernelText, next_line: int, verdicts: _Verdicts
) -> Finding:
    what = f"__global__ {kernel.name}".strip()
    found = verdicts.of(path, kernel, next_line)
    if not found:
        status, why = _unjudged(path, kernel, verdicts)
        return _with(finding, what, {"cpu": (status, why)})
    told = {target: _merged([one[target] for one in found]) for target in ("cpu", "ascend")}
    told = {t: (status, verdicts.shown(why)) for t, (status, why) in told.items()}
    return _with(finding, what, told)


def _unjudged(path: str, kernel: KernelText, verdicts: _Verdicts) -> tuple[Status, str]:
    """Why no compilation speaks of a kernel: by the source that failed, or by what it is."""
    for source, (file, line, fact, hint) in verdicts.errors.get(path, ()):
        place = f"{verdicts.relative(file)}:{line}" if line else source
        words = f"{place}: {fact}" + (f" ({hint})" if hint and "in all" not in hint else "")
        return _blame(fact, hint), verdicts.shown(words)
    if path in verdicts.unreached:
        return Status.UNDECIDED, _NO_TIME
    if obstacles := verdicts.obstacles.get(path):
        return Status.UNDECIDED, _HOST_FAILS + f"{path}:{obstacles[0][1]}: {obstacles[0][2]}"
    return Status.UNDECIDED, _NO_INSTANCE if kernel.name else _OF_A_MACRO


def _blame(fact: str, hint: str) -> Status:
    """Whether an error is about something that Canopy lacks, or may be about flags that reading
    does not know."""
    is_ours = "not supported" in fact + hint or "Canopy" in hint or _TORCHS.search(fact)
    return Status.UNSUPPORTED if is_ours else Status.UNDECIDED


def _cause(source: str, answer: Mapping[str, Any]) -> Sequence[Any]:
    """What is told of a source that did not compile: the header that it misses, where it does,
    since most of what clang says behind that follows from it."""
    absent = [obstacle for obstacle in answer["obstacles"] if obstacle[4]]
    file, line, fact, hint = absent[0][:4] if absent else answer["error"]
    return [file or source, line, fact, "" if "-I" in hint else hint]


def _merged(verdicts: Sequence[Sequence[str] | None]) -> tuple[Status, str]:
    """One verdict of those on all instances of a kernel."""
    known = [verdict for verdict in verdicts if verdict is not None]
    refused = [why for status, why in known if status == "unsupported"]
    if refused and len(refused) < len(known):
        return Status.CAVEAT, f"{len(refused)} of {len(known)} instances are not: {refused[0]}"
    if refused:
        return Status.UNSUPPORTED, refused[0]
    caveats = [why for status, why in known if status == "caveat"]
    if caveats:
        return Status.CAVEAT, caveats[0]
    return (Status.RUNS, "") if known else (Status.UNDECIDED, "")


def _with(finding: Finding, what: str, told: Mapping[str, tuple[Status, str]]) -> Finding:
    """The finding with the statuses and reasons of some targets."""
    status = {**finding.status, **{target: one for target, (one, _) in told.items()}}
    cpu = status["cpu"]
    efforts = {Status.UNSUPPORTED: Effort.MEDIUM, Status.UNDECIDED: Effort.LOW}
    reasons = [f"{target}: {why}" for target, (_, why) in told.items() if why]
    return replace(
        finding,
        what=what,
        status=status,
        effort=efforts.get(cpu, Effort.NONE),
        why="; ".join(reasons) or "compiled",
    )


def _add_obstacles(report: FileReport, verdicts: _Verdicts) -> None:
    """What had to be left out of a file so that its kernels compile is work, too."""
    rule = rule_named("cuda.refused")
    told = {x.line for x in report.findings if x.status["cpu"] is Status.UNSUPPORTED}
    for _, line, fact, hint, _ in verdicts.obstacles.get(report.path, ()):
        if line in told:
            continue
        told.add(line)
        status = {"cpu": Status.UNSUPPORTED, "ascend": rule.ascend, "nvidia": rule.nvidia}
        why = verdicts.shown(f"{fact} ({hint})" if hint and "-I" not in hint else fact)
        finding = Finding(rule.id, line, 1, "clang refuses", rule.effort, status, why, rule.advice)
        report.findings.append(finding)
    report.findings.sort(key=lambda finding: (finding.line, finding.column))


def _tell_string(report: FileReport, source: StringSource, answer: Any, is_filled_in: bool) -> None:
    """A finding per kernel in a string of a Python program."""
    rule = rule_named("cuda.kernel-in-string")
    for kernel in kernels_in(source.text):
        line = source.line + (kernel.line - 1 if source.is_exact else 0)
        status = {"cpu": Status.UNDECIDED, "ascend": rule.ascend, "nvidia": rule.nvidia}
        column = kernel.column if source.is_exact and kernel.line > 1 else source.column
        blank = Finding(rule.id, line, column, "", rule.effort, status, "", rule.advice)
        told = _told_of_string(source, kernel, answer, is_filled_in)
        report.findings.append(_with(blank, f"__global__ {kernel.name}".strip(), told))
    report.findings.sort(key=lambda finding: (finding.line, finding.column))


def _tell_triton(report: FileReport, kernel: TritonKernel, answer: Any) -> None:
    """A finding per Triton kernel."""
    rule = rule_named("triton.kernel")
    status = {"cpu": Status.UNDECIDED, "ascend": rule.ascend, "nvidia": rule.nvidia}
    place = (kernel.line, kernel.column)
    blank = Finding(rule.id, *place, "", rule.effort, status, "", rule.advice)
    report.findings.append(_with(blank, f"triton {kernel.name}", _told_of_triton(kernel, answer)))
    report.findings.sort(key=lambda finding: (finding.line, finding.column))


def _told_of_triton(kernel: TritonKernel, answer: Any) -> dict[str, tuple[Status, str]]:
    if kernel.launch is None:
        return {"cpu": (Status.UNDECIDED, "this file does not launch it: use --prove")}
    if kernel.launch.gap:
        return {"cpu": (Status.UNDECIDED, f"{kernel.launch.gap}: use --prove")}
    if answer is None:
        return {"cpu": (Status.UNDECIDED, _NO_TIME)}
    if answer["error"] is not None:
        return {"cpu": (Status.UNDECIDED, f"{answer['error'][2]}: use --prove")}
    (one,) = answer["kernels"]
    return {target: _merged([one[target]]) for target in ("cpu", "ascend")}


def _told_of_string(
    source: StringSource, kernel: KernelText, answer: Any, is_filled_in: bool
) -> dict[str, tuple[Status, str]]:
    if is_filled_in or answer is None:
        return {"cpu": (Status.UNDECIDED, _FILLED_IN if is_filled_in else _NO_TIME)}
    found = [one for one in answer["kernels"] if _bare(one["name"]) == kernel.name]
    if found:
        told = {target: _merged([one[target] for one in found]) for target in ("cpu", "ascend")}
        return {t: (status, _without_file(why)) for t, (status, why) in told.items()}
    if answer["error"] is not None:
        _, line, fact, hint = answer["error"]
        return {"cpu": (_blame(fact, hint), f"line {line} of the string: {fact}")}
    return {"cpu": (Status.UNDECIDED, _NO_INSTANCE)}


def _bare(name: str) -> str:
    return name.partition("<")[0].rpartition("::")[2]


def _without_file(why: str) -> str:
    return re.sub(r"^/canopy/\S+?\.cu:(\d+): ", r"line \1 of the string: ", why)
