"""Bad input: what users read of wrong sources, of what Canopy lacks, of programs that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("ziglang")

from canopy.errors import CanopyError
from canopy.frontends.cuda import compile_cuda
from canopy.frontends.cuda.clang import ClangError

GROUPS = "#include <cooperative_groups.h>\nnamespace cg = cooperative_groups;\n"


def canopy(
    folder: Path, *words: str, program: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CANOPY_CACHE_DIR": str(folder / "a cache"), **variables}
    command = [sys.executable, *(["-c", program] if program else ["-m", "canopy"]), *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a folder"
    made.mkdir()
    return made


# ---- sources

WANTS = {
    "a syntax error": ("__global__ void k(int* p) { *p = 1 }", 1, "expected ';'", ""),
    "an unknown function": (
        "__global__ void k(int* p) { *p = __vfancy4(3); }",
        1,
        "undeclared identifier '__vfancy4'",
        "compatibility.md",
    ),
    "a kernel that launches": (
        "__global__ void a(int*);\n__global__ void k(int* p) {\n  a<<<1, 1>>>(p); }",
        3,
        "kernel launch from __device__",
        "dynamic parallelism",
    ),
    "a cluster": (
        GROUPS + "__global__ void k(int* p) { auto c = cg::this_cluster(); }",
        3,
        "this_cluster",
        "clusters of thread blocks are not supported",
    ),
    "lanes of a tile of two warps": (
        GROUPS + "__global__ void k(int* p) {\n"
        "  auto t = cg::tiled_partition<64>(cg::this_thread_block());\n"
        "  *p = t.shfl_xor(*p, 1); }",
        5,
        "a tile of more than 32 threads has no masks of lanes",
        "",
    ),
    "a tile of lanes that are not side by side": (
        GROUPS + "__global__ void k(int* p) { cg::tiled_partition<4>(cg::coalesced_threads()); }",
        3,
        "deleted function",
        "",
    ),
    "a header of a library": ("#include <thrust/sort.h>", 1, "file not found", "Thrust"),
    "tensor cores": ("\n#include <mma.h>", 2, "file not found", "wmma"),
    "run-time compilation": ("#include <nvrtc.h>", 1, "file not found", "NVRTC"),
    "a header of nobody": ("#include <nobody.h>", 1, "file not found", "name its folder with -I"),
    "a function of nobody": (
        "__device__ int f(int n);\n__global__ void k(int* p) {\n  *p = f(*p); }",
        3,
        "defined in no source",
        "nvcc -rdc=true",
    ),
    "a wide argument": (
        "__global__ void k(int* p, __int128 x) {\n  *p = x >> 70; }",
        2,
        "128-bit integer cannot be an argument",
        "pass it by a pointer",
    ),
    "an instruction of later GPUs": (
        '__global__ void k(int* p) {\n\n  asm("mbarrier.init.shared.b64 [%0], 1;" :: "r"(0)); }',
        3,
        "mbarrier.init",
        "#ifndef __CANOPY__",
    ),
}

SHARED = "".join(f"  __shared__ int s{n};\n  s{n} = p[{n}];\n" for n in range(64))
USES = " + ".join(f"s{n}" for n in range(64))
WANTS["more shared variables than warps that part have"] = (
    "__global__ void k(int* p) {\n"
    + SHARED
    + '  asm volatile("bar.sync 1, 64;");\n'
    + f"  p[threadIdx.x] = {USES};\n}}",
    1,
    "at most 63 __shared__ variables",
    "one structure",
)


@pytest.mark.parametrize("name", WANTS)
def test_a_source_that_cannot_be_compiled(name: str) -> None:
    source, line, fact, hint = WANTS[name]
    with pytest.raises(CanopyError) as caught:
        compile_cuda(source, "user.cu").lower("k", (64, 1, 1))
    error = caught.value
    assert (error.location.file, error.location.line) == ("user.cu", line)
    assert fact in error.fact
    assert hint in error.hint
    for internal in ("unit.cu", "Undefined(", "Traceback"):
        assert internal not in str(error)
        assert not isinstance(error, ClangError) or internal not in error.output


# ---- programs

ENDS = """
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
__global__ void one(int* p) { *p = 1; }
int main(int argc, char** argv) {
  if (!strcmp(argv[1], "exit")) exit(7);
  if (!strcmp(argv[1], "abort")) abort();
  if (!strcmp(argv[1], "throw")) throw 3;
  if (!strcmp(argv[1], "null")) return *(volatile int*)nullptr;
  if (!strcmp(argv[1], "file")) {
    std::ifstream file(argv[2]);
    std::string word;
    if (!(file >> word)) return std::cerr << "cannot read " << argv[2] << std::endl, 3;
    return std::cout << word << std::endl, 0;
  }
  if (!strcmp(argv[1], "memory")) {
    void* all = nullptr;
    printf("%s, %d\\n", cudaGetErrorName(cudaMalloc(&all, (size_t)1 << 50)), all == nullptr);
    return 0;
  }
  int *p, threads = atoi(argv[1]);
  cudaMallocManaged(&p, sizeof(int));
  one<<<1, threads>>>(p);
  const char* launched = cudaGetErrorName(cudaGetLastError());
  printf("%s, %s, %d\\n", launched, cudaGetErrorName(cudaDeviceSynchronize()), *p);
}
"""


def test_programs_end_as_they_say(folder: Path) -> None:
    source = folder / "how it ends.cu"
    source.write_text(ENDS)
    # Two builds at once, with one cache and one output.
    with ThreadPoolExecutor(2) as pool:
        words = ("nvcc", source.name, "-o", "the program")
        for built in pool.map(lambda _: canopy(folder, *words), range(2)):
            assert built.returncode == 0, built.stderr
    (folder / "a file").write_text("word")

    def run(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [folder / "the program", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert run("exit") == (7, "", "")
    assert run("abort")[0] == -6
    assert run("throw")[0] == -6
    assert run("null")[0] == -11
    assert run("file", "a file") == (0, "word\n", "")
    assert run("file", "no file") == (3, "", "cannot read no file\n")
    assert run("memory") == (0, "cudaErrorMemoryAllocation, 1\n", "")
    assert run("1024") == (0, "cudaSuccess, cudaSuccess, 1\n", "")
    for too_many in ("1025", "0"):
        assert run(too_many) == (0, "cudaErrorInvalidConfiguration, cudaSuccess, 0\n", "")


def test_a_kernel_that_nothing_launches_is_left_out_of_a_whole_program(folder: Path) -> None:
    source = folder / "whole.cu"
    source.write_text(
        "__device__ int elsewhere(int);\n"
        "__global__ void never(int* p) { *p = elsewhere(*p); }\n"
        "__global__ void used(int* p) { *p = 1; }\n"
        "int main() { used<<<1, 1>>>(nullptr); }\n"
    )
    assert canopy(folder, "nvcc", "whole.cu", "-o", "app").returncode == 0
    alone = canopy(folder, "nvcc", "-c", "whole.cu")  # another source may launch it
    assert alone.returncode == 1
    assert "whole.cu:2" in alone.stderr


def test_openmp_is_reported_and_runs_on_one_thread(folder: Path) -> None:
    (folder / "loop.cu").write_text(
        "#include <omp.h>\n#include <cstdio>\nint main() {\n  int sum = 0;\n"
        "#pragma omp parallel for reduction(+ : sum)\n  for (int i = 0; i < 10; i++) sum += i;\n"
        '  printf("%d %d\\n", sum, omp_get_max_threads());\n}\n'
    )
    built = canopy(folder, "nvcc", "-Xcompiler", "-fopenmp", "loop.cu", "-o", "loop", "-run")
    assert built.stdout == "45 1\n"
    assert "OpenMP loops of host code run on one thread" in built.stderr


def test_without_the_package_of_clang_the_extra_is_named(folder: Path) -> None:
    (folder / "a.cu").write_text("int main() {}\n")
    hidden = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'ziglang' else find(name, *more)\n"
        "sys.argv = ['canopy', *sys.argv[1:]]\n"
        "from canopy.__main__ import main; main()\n"
    )
    for words in (("run", "a.cu"), ("nvcc", "a.cu")):
        done = canopy(folder, *words, program=hidden)
        assert done.returncode in (1, 2)
        assert "pip install canopy-nn[cuda]" in done.stderr
        assert "Traceback" not in done.stderr
