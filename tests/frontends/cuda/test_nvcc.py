"""`canopy nvcc`, `canopy run app.cu` and the toolkit folder, as a user calls them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ziglang")

from canopy.errors import CanopyError
from canopy.frontends.cuda.command_line import UsageError, read_command_line
from canopy.frontends.cuda.launches import launch_shapes
from canopy.frontends.cuda.libraries import wanted_libraries

ROOT = Path(__file__).resolve().parents[3]
KERNEL = """
#include "twice.h"
__global__ void doubled(int* p) { p[threadIdx.x] *= FACTOR; }
std::string twice(int n) {
  int* d;
  cudaMalloc(&d, 32 * sizeof(int));
  cudaMemcpy(d, &n, sizeof n, cudaMemcpyHostToDevice);
  doubled<<<1, 32>>>(d);
  cudaMemcpy(&n, d, sizeof n, cudaMemcpyDeviceToHost);
  cudaFree(d);
  return std::to_string(n);
}
"""
HEADER = "#pragma once\n#include <string>\nstd::string twice(int);\n"
# Plain C++, compiled without -x cuda: the vector types and the runtime are there too.
MAIN = """
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>
#include "twice.h"
int main(int argc, char** argv) {
  float4 v = make_float4(1, 2, 3, 4);
  dim3 grid(2, 3);
  printf("%s %g %u\\n", twice(argc > 1 ? atoi(argv[1]) : 0).c_str(), v.w, grid.y);
  return 7;
}
"""


def canopy(
    folder: Path, *words: str, module: str = "canopy", status: int = 0
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CANOPY_CACHE_DIR": str(folder.parent / "canopy-cache")}
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    folder.mkdir()
    (folder / "twice.cu").write_text(KERNEL)
    (folder / "twice.h").write_text(HEADER)
    (folder / "main.cpp").write_text(MAIN)
    return folder


def test_files_link_to_a_program_that_needs_nothing_of_canopy(project: Path) -> None:
    canopy(project, "nvcc", "-O3", "-arch=sm_80", "-DFACTOR=2", "twice.cu", "main.cpp", "-o", "app")
    done = subprocess.run([project / "app", "21"], capture_output=True, text=True, env={})
    assert (done.stdout, done.returncode) == ("42 4 3\n", 7)


def test_run_passes_arguments_and_the_exit_status(project: Path) -> None:
    words = ("run", "twice.cu", "main.cpp", "-DFACTOR=3", "--", "21")
    assert canopy(project, *words, status=7).stdout == "63 4 3\n"


def test_an_included_file_that_changed_is_noticed(project: Path) -> None:
    (project / "twice.h").write_text(HEADER + "#define FACTOR 2\n")
    first = canopy(project, "run", "twice.cu", "main.cpp", "--", "21", status=7)
    (project / "twice.h").write_text(HEADER + "#define FACTOR 5\n")
    second = canopy(project, "run", "twice.cu", "main.cpp", "--", "21", status=7)
    assert (first.stdout, second.stdout) == ("42 4 3\n", "105 4 3\n")


def test_a_makefile_that_names_nvcc_and_gxx_builds(project: Path) -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    (project / "Makefile").write_text(
        "app: twice.o main.o\n\tg++ $^ -L$(CUDA_HOME)/lib64 -lcudart -o $@\n"
        "twice.o: twice.cu\n\tnvcc -DFACTOR=2 -c $< -o $@\n"
        "main.o: main.cpp\n\tg++ -I$(CUDA_HOME)/include -fopenmp -c $< -o $@\n"
    )
    done = canopy(project, "run", "--", "make")
    assert "OpenMP loops of host code run on one thread" in done.stderr
    assert (
        subprocess.run([project / "app", "4"], check=False, capture_output=True).stdout[:2] == b"8 "
    )


def test_dependency_files_name_the_headers(project: Path) -> None:
    words = ("-DFACTOR=2", "-MD", "-MF", "out.d", "-MT", "target", "-c", "twice.cu", "-o", "t.o")
    canopy(project, "nvcc", *words)
    assert (project / "out.d").read_text().split() == [
        "target:",
        "\\",
        "twice.cu",
        "\\",
        "./twice.h",
    ]


C_PART = """
#include <cuComplex.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <omp.h>
#include <stdio.h>
int devices(void) {
  float4 v = make_float4(1, 2, 3, 4);
  dim3 grid = {1, 2, 3};
  cuDoubleComplex z = cuCmul(make_cuDoubleComplex(1, 2), make_cuDoubleComplex(3, 4));
  double4_32a d = make_double4_32a(1, 2, 3, 4);
  struct cudaDeviceProp properties;
  int count = 0;
#pragma omp parallel
  cudaGetDeviceCount(&count);
  cudaGetDeviceProperties(&properties, 0);
  printf("%g %u %g %g %d\\n", v.w, grid.z, cuCreal(z), d.w, omp_get_num_threads());
  return count;
}
"""
CPP_PART = """
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <helper_cuda.h>
#include <helper_functions.h>
#include <helper_math.h>
extern "C" int devices(void);
__host__ __device__ float twice(float x) { return 2 * x; }
int main(int argc, char** argv) {
  half h(1.25f);
  float3 v = make_float3(1.0f, 2.0f, 3.0f);
  h = h + half(twice(1));
  checkCudaErrors(cudaSetDevice(devices() - 1));
  printf("%g %g %g %d\\n", float(h), dot(v, v), float(__nv_bfloat16(3.14159f)), max(3, 4));
  checkCudaErrors(cudaSetDevice(12345));
}
"""


def test_c_and_cpp_sources_see_types_and_helpers(project: Path) -> None:
    (project / "part.c").write_text(C_PART)
    (project / "whole.cpp").write_text(CPP_PART)
    words = ("nvcc", "-Xcompiler", "-fopenmp", "part.c", "whole.cpp", "-o", "app")
    assert "run on one thread" in canopy(project, *words).stderr
    done = subprocess.run([project / "app"], capture_output=True, text=True, check=False)
    assert done.stdout == "4 3 -5 4 1\n3.25 14 3.14062 4\n"
    assert done.returncode == 1
    assert "whole.cpp:15 code=101(cudaErrorInvalidDevice)" in done.stderr


def test_a_programs_own_helpers_come_first(project: Path) -> None:
    (project / "common").mkdir()
    (project / "common" / "helper_cuda.h").write_text("#error ours\n")
    (project / "uses.cu").write_text("#include <helper_cuda.h>\n")
    words = ("nvcc", "-c", "uses.cu", "-o", "uses.o")
    canopy(project, *words)
    assert "error: ours" in canopy(project, *words, "-Icommon", status=1).stderr


def test_the_version_is_where_build_systems_look(project: Path) -> None:
    assert "release 12.3, V12.3.107" in canopy(project, "nvcc", "--version").stdout


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("int main() {\n  undeclared();\n}\n", "bad.cu:2:3: error: use of undeclared identifier"),
        (
            "#include <curand_kernel.h>\n",
            "hint: curand_kernel.h belongs to cuRAND, which is not part",
        ),
        (
            "#include <cublas_v2.h>\nint main() { cublasHandle_t h; cublasSgemm(h); }\n",
            "hint: cublasSgemm belongs to cuBLAS",
        ),
        (
            "__global__ void k(cudaTextureObject_t t, float* o) { *o = tex2D<float>(t, 1, 2); }\n",
            "is unavailable: textures and surfaces are not supported yet by Canopy",
        ),
    ],
)
def test_errors_are_clangs_at_the_users_line(project: Path, source: str, message: str) -> None:
    (project / "bad.cu").write_text(source)
    shown = canopy(project, "nvcc", "bad.cu", status=1).stderr
    assert message in shown
    assert "Traceback" not in shown
    assert "unit.cu" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("absent.cu",), "absent.cu: there is no such file"),
        (("-ptx", "twice.cu"), "cannot write PTX"),
        (("--no-such-option", "twice.cu"), "unknown option '--no-such-option'"),
        (("-o",), "-o needs a value"),
        ((), "no input files given"),
    ],
)
def test_bad_command_lines_say_what_is_wrong(
    project: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in canopy(project, "nvcc", *words, status=1).stderr


def test_options_come_joined_and_separate(tmp_path: Path) -> None:
    response = tmp_path / "options"
    response.write_text("-DB=2 --include-path=two")
    words = ["-Ione", "-I", "three", f"@{response}", "-std=c++20", "-O3", "-Xcompiler"]
    words += ["-fPIC,-Wall", "-gencode", "arch=compute_80,code=sm_80", "-L/x", "-lm", "a.cu"]
    line = read_command_line([*words, "--output-file=app"])
    assert line.preprocessor == ["-Ione", "-Ithree", "-DB=2", "-Itwo"]
    assert (line.standard, line.optimization) == ("c++20", "-O3")
    assert line.host_flags == ["-fPIC", "-Wall"]
    assert (line.inputs, line.library_folders) == (["-lm", "a.cu"], ["/x"])
    assert line.output == Path("app")
    assert any(note.startswith("-gencode") for note in line.noted)


def test_a_missing_options_file_is_an_error() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_command_line(["@/nowhere/options"])


def test_unknown_default_streams_are_refused() -> None:
    with pytest.raises(CanopyError, match="legacy or per-thread"):
        read_command_line(["-default-stream=shared", "a.cu"])


def test_libraries_that_are_not_here_are_reported() -> None:
    chosen = wanted_libraries(["a.o", "-lcudart", "-lcublas", "-lm", "lib64/libcudart.so"])
    assert chosen.objects == ["a.o", "-lm"]
    assert chosen.notes == ["-lcublas: Canopy does not have cuBLAS; linked without it"]


def test_a_kernel_with_a_bad_address_is_named(project: Path) -> None:
    (project / "bad.cu").write_text(
        "#include <cstdio>\n"
        '__global__ void store(int* p) { printf("so far\\n"); *p = 1; }\n'
        "int main() { store<<<1, 1>>>((int*)64); return cudaDeviceSynchronize(); }\n"
    )
    done = canopy(project, "run", "bad.cu", status=-11)
    assert done.stdout == "so far\n"
    assert "illegal memory access was encountered while the kernel _Z5storePi ran" in done.stderr
    assert "address 0x0000000000000040" in done.stderr


def test_kernels_of_every_kind_of_name_get_their_constant_shapes() -> None:
    call = "  %c = call i32 @__cudaPushCallConfiguration"
    push = call + "(i64 1, i32 1, i64 {xy}, i32 1, i64 0, ptr null)"
    stub = "@_ZN1nL20__device_stub__otherPi"
    lines = [
        '@0 = private constant [5 x i8] c"k\\00"',
        "define void @main() {",
        push.format(xy=(2 << 32) + 32),
        f"  call i32 @cudaLaunchKernel(ptr {stub}, i64 1)",
        "}",
        "define void @r() {",
        f"  call i32 @__cudaRegisterFunction(ptr %h, ptr {stub}, ptr @0, ptr @0, i32 -1)",
        "}",
    ]
    assert launch_shapes("\n".join(lines)) == {"k": ({(32, 2, 1)}, False)}
    lines.insert(
        4, f"  %a = call noundef i32 @_ZL18cudaFuncSetCacheConfigIFvvE(ptr noundef {stub})"
    )
    assert launch_shapes("\n".join(lines)) == {"k": ({(32, 2, 1)}, False)}  # no launch
    lines.insert(4, f"  call i32 @use(ptr {stub})")  # its address alone: any shape
    assert launch_shapes("\n".join(lines)) == {"k": ({(32, 2, 1)}, True)}
    lines.insert(3, push.format(xy=(1 << 32) + 64))  # two that may belong to it
    assert launch_shapes("\n".join(lines)) == {"k": ({(32, 2, 1), (64, 1, 1)}, True)}
