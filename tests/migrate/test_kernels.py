"""Verdicts on kernels: each is compiled, and what stands around it neither hides nor hurts it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("libcst")
pytest.importorskip("ziglang")

from canopy.frontends.cuda.host_functions import blanked, without_comments
from canopy.migrate.findings import Finding
from canopy.migrate.kernel_text import kernels_in, sources_in_strings
from canopy.migrate.kernels import judge_kernels
from canopy.migrate.project import Project, read_project
from canopy.migrate.workers import run_all

HEADER = """
#pragma once
template <typename T> __global__ void scaled(T* p, T by) { p[threadIdx.x] *= by; }
template <typename T> __global__ void nobody(T* p) { *p = 0; }
"""
SOURCE = """
#include "tools/scale.cuh"
#include <nobody_has_this.h>
// __global__ void in_a_comment() {}
__global__ void __launch_bounds__(64)
plain(float* p, int n) { int i = threadIdx.x; if (i < n) p[i] += 1; }
__global__ void assembly(int* p);
__device__ int odd(int n) { asm("foo.bar.s32 %0, %0;" : "+r"(n)); return n; }
__global__ void assembly(int* p) { *p = odd(*p); }
__global__ void spins(volatile int* p) { if (threadIdx.x == 0) p[1] = 1; while (p[0] == 0) { } }
namespace host {
int use(double* p) {
    UnknownLibrary library(3);
    scaled<double><<<1, 32>>>(p, 2.0);
    return library.run("}");
}
}
int main() { scaled<<<1, 32>>>((float*)0, 2.f); return 0; }
"""
STRINGS = '''
import cupy
text = "__global__ is a word"
GOOD = r"""
__global__ void inside(float* p) { p[threadIdx.x] = 1; }
template <int N> __global__ void many(int* p) { p[threadIdx.x] = N; }
"""
BAD = """
__global__ void asks(int* p) { asm volatile("wgmma.fence.sync.aligned;"); }
"""
MADE = """__global__ void made(%(type)s* p) { *p = 1; }""" % {"type": "int"}
cupy.RawModule(code=GOOD, name_expressions=["many<7>"])
'''
OUTSIDE = '#include "../outside.h"\n__global__ void k(int* p) { *p = SECRET; }\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "outside.h").write_text("#define SECRET hunter2\n")
    root = folder / "project"
    for name, text in {
        "include/tools/scale.cuh": HEADER,
        "src/app.cu": SOURCE,
        "src/steal.cu": OUTSIDE,
        "strings.py": STRINGS,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANOPY_CACHE_DIR", str(folder / "cache"))
        read = read_project(root, jobs=1)
        judge_kernels(read, jobs=2)
        again = read_project(root, jobs=1)
        start_s = time.monotonic()
        judge_kernels(again, jobs=2)
        assert again == read, "the cache gives the same"
        assert time.monotonic() - start_s < 1
    return read


def kernel(project: Project, name: str) -> Finding:
    (found,) = (f for file in project.files for f in file.findings if f.what.endswith(f" {name}"))
    return found


def test_what_compiles_runs(project: Project):
    plain = kernel(project, "plain")
    assert (plain.line, plain.status["cpu"], plain.effort) == (5, "runs", "none")
    assert kernel(project, "scaled").status["cpu"] == "runs"


def test_instances_that_differ_are_told_apart(project: Project):
    scaled = kernel(project, "scaled")
    assert scaled.status["ascend"] == "caveat"
    assert "1 of 2 instances are not" in scaled.why
    assert "float64" in scaled.why


def test_what_does_not_is_named_with_its_line(project: Project):
    declared, assembly = (
        f for file in project.files for f in file.findings if f.what == "__global__ assembly"
    )
    assert (declared.line, declared.why) == (7, assembly.why)
    assert assembly.status["cpu"] == "unsupported"
    assert "src/app.cu:8" in assembly.why
    assert "foo.bar" in assembly.why


def test_caveats(project: Project):
    spins = kernel(project, "spins")
    assert spins.status["cpu"] == "caveat"
    assert "fibers" in spins.why
    assert kernel(project, "nobody").status["cpu"] == "undecided"
    assert "instance" in kernel(project, "nobody").why


def test_host_code_that_does_not_compile_is_told_and_left_out(project: Project):
    (app,) = (file for file in project.files if file.path == "src/app.cu")
    refused = [(f.line, f.why) for f in app.findings if f.rule == "cuda.refused"]
    assert (3, "'nobody_has_this.h' file not found") in refused
    assert [line for line, _ in refused] == [3, 13]
    assert "UnknownLibrary" in refused[1][1]


def test_kernels_in_strings(project: Project):
    inside, many = kernel(project, "inside"), kernel(project, "many")
    assert (inside.line, inside.column, inside.status["cpu"]) == (5, 1, "runs")
    assert many.status["cpu"] == "runs"
    asks = kernel(project, "asks")
    assert asks.status["cpu"] == "unsupported"
    assert "line 2 of the string" in asks.why
    assert "wgmma" in asks.why
    assert kernel(project, "made").status["cpu"] == "undecided"


def test_nothing_outside_the_project_is_read(project: Project):
    stolen = next(f for file in project.files for f in file.findings if f.what == "__global__ k")
    assert stolen.status["cpu"] == "undecided"
    assert "outside.h" in stolen.why
    assert "hunter" not in json.dumps([file.to_data() for file in project.files])


def test_without_time_nothing_is_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "a.cu").write_text("__global__ void k() {}\n")
    project = read_project(tmp_path / "a.cu", jobs=1)
    judge_kernels(project, seconds=0)
    assert "--kernel-seconds" in kernel(project, "k").why


def _act(task: str) -> str:
    if task == "loop":
        time.sleep(60)
    if task == "die":
        import os

        os._exit(3)
    if task == "raise":
        raise ValueError(task)
    return task.upper()


def test_tasks_that_hang_or_die_hurt_no_other():
    tasks = ["a", "loop", "die", "raise", "b"]
    start_s = time.monotonic()
    answers = run_all(_act, tasks, jobs=2, each_s=3, total_s=30)
    assert answers == ["A", None, None, None, "B"]
    assert time.monotonic() - start_s < 20
    assert run_all(_act, ["loop"], jobs=1, each_s=1, total_s=1) == [None]


def test_names_of_kernels():
    text = """
    __global__ void __launch_bounds__(A(1), 2) a(int x) {}
    template <class T> __global__ static void b(T t);
    __global__ MY_BOUNDS(3) void c<int>(int);
    #define K(n) __global__ void n() {}
    /* __global__ */ extern "C" __global__ void d() { "__global__"; }
    """
    assert [k.name for k in kernels_in(text)] == ["a", "b", "c", "d"]


def test_functions_of_the_host_are_left_out_by_statement_or_whole():
    text = 'void f(int x) {\n  A a(1);\n  if (a.b("}")) {\n    c();\n  }\n  k<<<1, 1>>>();\n}\n'
    once = blanked(text, [(2, 3)]).text
    assert once == text.replace("  A a(1)", " " * 8)
    whole = blanked(text, [(3, 7)])
    assert whole.text.split() == ["void", "f(int", "x)", "{", "}"]
    assert (len(whole.text), whole.lines) == (len(text), {15: [3]})
    for kept in ("__device__ ", "template <class T> ", "constexpr "):
        assert blanked(kept + text.replace("k<<<1, 1>>>", "k"), [(2, 3)]).lines == {}
    assert blanked("void f() {", [(1, 5)]).lines == {}
    assert len(without_comments(text)) == len(text)


def test_strings_that_are_no_sources():
    assert sources_in_strings(b"'__global__ void f() {}'\n") == []  # a docstring
    assert sources_in_strings(b"x = (") == []
    (made,) = sources_in_strings(b"t = 'int'\nx = f'__global__ void f({t} x) {{}}'\n")
    assert made.is_filled_in
