"""``%load_ext canopy`` and ``%%cuda`` in a real IPython shell."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ziglang")
pytest.importorskip("IPython")

from IPython.core.interactiveshell import InteractiveShell

PROGRAM = r"""
#include <cstdio>
#include <cstdlib>
#include "scale.h"
__global__ void fill(int* p, int n) { int i = threadIdx.x; if (i < n) p[i] = i * SCALE + OFFSET; }
int main(int count, char** words) {
  int n = atoi(words[1]), sum = 0, *p;
  cudaMallocManaged(&p, n * sizeof(int));
  fill<<<1, 64>>>(p, n);
  cudaDeviceSynchronize();
  for (int i = 0; i < n; i++) sum += p[i];
  printf("%d words, %s, sum %d\n", count, words[2], sum);
  fprintf(stderr, "to the error stream\n");
  return atoi(words[3]);
}
"""


@pytest.fixture
def shell():
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "canopy")
    yield shell
    InteractiveShell.clear_instance()


def test_cells(shell, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scale.h").write_text("#define SCALE 3\n")
    cell = "%%cuda -O3 -DOFFSET=10 --args 20 'two words' "
    assert shell.run_cell(f"{cell}0\n{PROGRAM}").success
    shown = capsys.readouterr()
    total = sum(3 * i + 10 for i in range(20))
    assert shown.out == f"4 words, two words, sum {total}\nto the error stream\n"
    result = shell.run_cell(f"{cell}7\n{PROGRAM}")
    assert not result.success
    shown = capsys.readouterr()
    assert "the program ended with status 7" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err


def test_cell_that_does_not_compile(shell, capsys):
    result = shell.run_cell("%%cuda\nint main() {\n  return missing;\n}\n")
    assert not result.success
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert "cell.cu:2:10: error: use of undeclared identifier 'missing'" in text
    assert "Traceback" not in text
    assert not shell.run_cell("%%cuda --nonsense\nint main() {}\n").success
    assert "unknown option '--nonsense'" in "".join(capsys.readouterr())
