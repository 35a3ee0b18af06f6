"""Reading Python: names are followed wherever they go, and text that is no code stays text."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

pytest.importorskip("libcst")

from canopy.migrate.findings import Effort, Finding
from canopy.migrate.project import read_project
from canopy.migrate.python_reader import read_python

SYNC = "torch.cuda.synchronize"


def findings(source: str, **context) -> list[Finding]:
    report = read_python(textwrap.dedent(source).encode(), "file.py", **context)
    assert not report.note
    return report.findings


def found(source: str) -> list[tuple[int, str]]:
    return [(f.line, f.what) for f in findings(source)]


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.cuda.synchronize()",
        "import torch as th\nth.cuda.synchronize()",
        "import torch.cuda\ntorch.cuda.synchronize()",
        "import torch.cuda as c\nc.synchronize()",
        "from torch import cuda\ncuda.synchronize()",
        "from torch import cuda as c\nc.synchronize()",
        "from torch.cuda import synchronize\nsynchronize()",
        "from torch.cuda import synchronize as s\ns()",
        "import torch\nc = torch.cuda\nd = c\nd.synchronize()",
        "import torch\ngetattr(torch, 'cuda').synchronize()",
        "import torch\ngetattr(torch.cuda, 'synchronize')()",
        "import importlib\nimportlib.import_module('torch.cuda').synchronize()",
        "def f():\n    from torch import cuda\n    cuda.synchronize()",
        "try:\n    from torch import cuda as c\nexcept ImportError:\n    c = None\nc.synchronize()",
    ],
)
def test_every_way_to_say_it(source: str):
    assert SYNC in [what for _, what in found(source)]


@pytest.mark.parametrize(
    "source",
    [
        "class cuda:\n    pass\ncuda.synchronize()",
        "def f(torch):\n    torch.cuda.synchronize()",
        '"""torch.cuda.synchronize()"""',
        "# torch.cuda.synchronize()",
        "text = 'torch.cuda.synchronize()'",
        "import notorch as torch\ntorch.cuda.synchronize()",
    ],
)
def test_what_only_looks_like_it(source: str):
    assert SYNC not in [what for _, what in found(source)]


def test_places_count_characters_and_lines():
    line = 'é = "ü"; torch.cuda.synchronize()'
    (finding,) = findings(f"import torch\n\n{line}\n")
    assert (finding.line, finding.column) == (3, line.index("torch") + 1)
    windows = read_python(b"import torch\r\n\r\n  \r\ntorch.cuda.synchronize()\r\n", "f.py")
    assert [f.line for f in windows.findings] == [4]
    marked = read_python(b"\xef\xbb\xbfimport torch\ntorch.cuda.synchronize()\n", "f.py")
    assert [(f.line, f.column) for f in marked.findings] == [(2, 1)]


def test_devices_in_all_their_forms():
    source = """
        import torch, os
        a = torch.zeros(3, device="cuda")
        b = a.to(0)
        c = torch.zeros(3, device=1)
        d = f"cuda:{os.getpid()}"
        e = a.cuda(1)
        if a.is_cuda and a.device.type == "cuda": pass
    """
    assert [what for _, what in found(source)] == [
        '"cuda"', "device=", "device=", '"cuda:{}"', ".cuda", ".is_cuda", '"cuda"',
    ]  # fmt: skip


def test_a_method_of_the_project_may_not_be_torchs():
    torch = "import torch\n"
    own = findings(torch + "class Mover:\n    def cuda(self): ...\nMover().cuda()\n")
    elsewhere = findings(torch + "x.cuda()", own_methods=frozenset({"cuda"}))
    assert [f.effort for f in own + elsewhere] == [Effort.LOW, Effort.LOW]
    assert [f.effort for f in findings(torch + "x.cuda()")] == [Effort.AUTOMATIC]


def test_a_projects_own_package_is_read_and_not_reported():
    assert [f.rule for f in findings("import apex")] == ["package.apex"]
    assert findings("import apex", own_packages=frozenset({"apex"})) == []


def test_reexports_are_followed_between_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))
    package = tmp_path / "project" / "pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "compat.py").write_text("from torch import cuda as gpu\n")
    (package / "use.py").write_text("from .compat import gpu\ngpu.synchronize()\n")
    (package / "far.py").write_text("from pkg import compat\ncompat.gpu.synchronize()\n")
    (package / "other.py").write_text("from .else_where import gpu\ngpu.synchronize()\n")
    project = read_project(tmp_path / "project", jobs=1)
    told = {file.path: [f.what for f in file.findings] for file in project.files if file.findings}
    assert told == {"pkg/use.py": [SYNC], "pkg/far.py": [SYNC]}


def test_efforts():
    source = """
        import torch, cupy
        torch.cuda.synchronize()
        torch.cuda.ipc_collect()
        torch.backends.cudnn.benchmark = True
        cupy.zeros(3)
    """
    efforts = {f.what: f.effort for f in findings(source)}
    assert efforts == {
        "cupy": Effort.HIGH,
        "cupy.zeros": Effort.HIGH,
        "torch.cuda.synchronize": Effort.AUTOMATIC,
        "torch.cuda.ipc_collect": Effort.LOW,
        "torch.backends.cudnn.benchmark": Effort.NONE,
    }
