"""``canopy check``: reads a program with Python's own parser, without running it, and says what
will not work."""
# ruff: noqa: E501

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from canopy.errors import CanopyError, Location

__all__ = ["CheckResult", "Finding", "check_file", "check_source", "known_fact", "render"]


@dataclass(frozen=True)
class Finding:
    """One line that will not work, or that works in another way."""

    location: Location
    fact: str
    hint: str
    blocks: bool = True


@dataclass
class CheckResult:
    """What ``check_file`` found in one program."""

    path: str
    findings: list[Finding] = field(default_factory=list)
    missing: dict[str, Location] = field(default_factory=dict)
    redirected: dict[str, int] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.missing and not any(finding.blocks for finding in self.findings)


# dotted name (a prefix counts too) -> (fact, hint, whether it stops the program)
_KNOWN: dict[str, tuple[str, str, bool]] = {
    "torch.cuda.cudart": ("raw CUDA runtime calls do not exist on the cpu target", "use torch.cuda", True),
    "torch.cuda.caching_allocator_alloc": ("device memory has no addresses of its own here", "use tensors", True),
    "torch.cuda.CUDAPluggableAllocator": ("the device allocator cannot be replaced", "guard it", True),
    "torch.cuda.memory.CUDAPluggableAllocator": ("the device allocator cannot be replaced", "guard it", True),
    "torch.cuda.jiterator": ("compiles CUDA C++ with NVRTC inside torch", "write the operation in torch or Triton", True),
    "torch.cuda.gds": ("GPUDirect Storage needs an NVIDIA GPU", "read the file on the host", True),
    "torch.utils.cpp_extension": ("builds C++ or CUDA extensions with nvcc at run time", "write the kernel in Triton", True),
    "torch.classes": ("custom C++ classes may hold CUDA code", "check that a CPU build exists", False),
    "torch.ops.load_library": ("a compiled library may hold CUDA code", "check that a CPU build exists", False),
    "torch.distributed.fsdp": ("FSDP is not covered by the redirect yet", "use DDP or one process", False),
    "torch.compile": ("torch.compile runs eagerly on this target", "nothing to change", False),
    "cupy": ("CuPy calls CUDA itself", "use torch or NumPy", True),
    "cupyx": ("CuPy calls CUDA itself", "use torch or NumPy", True),
    "numba.cuda": ("numba.cuda compiles for NVIDIA GPUs itself", "write the kernel in Triton", True),
    "pynvml": ("the NVIDIA management library needs an NVIDIA driver", "use torch.cuda's memory functions", True),
    "pycuda": ("PyCUDA calls CUDA itself", "use torch or Triton", True),
    "cuda": ("the cuda-python bindings call CUDA itself", "use torch.cuda", True),
    "tensorrt": ("TensorRT needs an NVIDIA GPU", "run the model with torch", True),
    "torch_tensorrt": ("TensorRT needs an NVIDIA GPU", "run the model with torch", True),
    "apex": ("apex is built from CUDA extensions", "use torch.amp and torch.optim", True),
    "flash_attn": ("flash_attn is a CUDA extension", "use torch's scaled_dot_product_attention", True),
    "xformers": ("xformers is built from CUDA extensions", "use torch's scaled_dot_product_attention", True),
    "bitsandbytes": ("bitsandbytes quantises with CUDA kernels", "load the model unquantised", True),
    "transformer_engine": ("Transformer Engine needs an NVIDIA GPU", "use torch's layers", True),
    "deepspeed": ("DeepSpeed builds CUDA extensions", "use DDP or one process", True),
    "nvidia.dali": ("DALI decodes on NVIDIA GPUs", "use torch.utils.data", True),
    "triton.language.inline_asm_elementwise": ("the asm text is PTX, which the cpu target cannot run", "guard it with the target, or write it in tl operations", True),
    "triton.language.extra.cuda": ("libdevice and inline PTX for NVIDIA", "use tl.math or tl.extra.libdevice", False),
    "triton.experimental.gluon": ("Gluon kernels describe NVIDIA layouts", "write the kernel in Triton", True),
}  # fmt: skip
_PACKAGE_NAMES = {
    "yaml": "pyyaml", "cv2": "opencv-python", "PIL": "pillow", "sklearn": "scikit-learn",
    "skimage": "scikit-image", "bs4": "beautifulsoup4", "torchvision": "torchvision",
    "dateutil": "python-dateutil", "google.protobuf": "protobuf", "liger_kernel": "liger-kernel",
    "attr": "attrs", "OpenSSL": "pyopenssl", "dotenv": "python-dotenv", "sentencepiece": "sentencepiece",
}  # fmt: skip


def check_file(path: str) -> CheckResult:
    """Checks the script at ``path``. CanopyError if it cannot be read or parsed."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise CanopyError(
            f"the script {path} cannot be read: {error.strerror}",
            hint="give the path of a Python file",
        ) from error
    return check_source(source, path)


def check_source(source: bytes | str, path: str) -> CheckResult:
    """Checks program text; ``path`` is for messages and for imports beside it."""
    try:
        tree = ast.parse(source, path)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 0
        raise CanopyError(
            f"Python cannot parse this: {getattr(error, 'msg', error)}",
            location=Location(path, line),
            hint="run it with a Python that knows this syntax",
        ) from error
    visitor = _Visitor(path)
    visitor.visit(tree)
    return visitor.result


class _Visitor(ast.NodeVisitor):
    """Follows import aliases and looks every dotted name up in the table."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder = os.path.dirname(os.path.abspath(path))
        self.result = CheckResult(path)
        self._aliases: dict[str, str] = {}
        self._guarded = 0
        self._reported: set[tuple[int, str]] = set()

    def _place(self, node: ast.AST) -> Location:
        return Location(self.path, getattr(node, "lineno", 0))

    def visit_Try(self, node: ast.Try) -> None:
        """An import in a ``try`` with handlers may fail without harm."""
        self._guarded += bool(node.handlers)
        for statement in node.body:
            self.visit(statement)
        self._guarded -= bool(node.handlers)
        for child in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            bound = name.asname or name.name.split(".")[0]
            self._aliases[bound] = name.name if name.asname else bound
            self._imported(name.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None:
            return
        self._imported(node.module, node)
        for name in node.names:
            full = f"{node.module}.{name.name}"
            self._aliases[name.asname or name.name] = full
            self._look_up(full, node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = self._dotted(node)
        if dotted is None:
            self.generic_visit(node)
            return
        if dotted.startswith(("torch.cuda", "torch.accelerator", "torch.backends.cuda")):
            self._count("torch.cuda calls")
        self._look_up(dotted, node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and self._aliases.get(node.id, "").count("."):
            self._look_up(self._aliases[node.id], node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and (node.value == "cuda" or node.value.startswith("cuda:")):
            self._count("cuda device names")
        if node.value == "nccl":
            self._add(node, "nccl", "the process group runs on gloo", "nothing to change", False)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
            self._count("moves with .cuda()")
        if isinstance(node.func, ast.Attribute) and node.func.attr == "inline_asm_elementwise":
            self._look_up("triton.language.inline_asm_elementwise", node)
        self.generic_visit(node)

    def _count(self, what: str) -> None:
        self.result.redirected[what] = self.result.redirected.get(what, 0) + 1

    def _dotted(self, node: ast.expr) -> str | None:
        """``tl.dot`` -> ``triton.language.dot``; None for anything but names and attributes."""
        if isinstance(node, ast.Name):
            return self._aliases.get(node.id, node.id if node.id == "torch" else None)
        if isinstance(node, ast.Attribute):
            before = self._dotted(node.value)
            return f"{before}.{node.attr}" if before else None
        return None

    def _look_up(self, dotted: str, node: ast.AST) -> None:
        for prefix in _prefixes(dotted):
            if prefix in _KNOWN:
                fact, hint, blocks = _KNOWN[prefix]
                self._add(node, prefix, fact, hint, blocks and not self._guarded)
                return

    def _add(self, node: ast.AST, name: str, fact: str, hint: str, blocks: bool) -> None:
        place = self._place(node)
        if (place.line, name) in self._reported:
            return
        self._reported.add((place.line, name))
        fact = fact if fact.startswith(name) else f"{name}: {fact}"
        self.result.findings.append(Finding(place, fact, hint, blocks))

    def _imported(self, module: str, node: ast.AST) -> None:
        top = module.split(".")[0]
        if any(prefix in _KNOWN for prefix in _prefixes(module)):
            self._look_up(module, node)
            return
        if self._guarded or top in self.result.missing or self._exists(top):
            return
        self.result.missing[_PACKAGE_NAMES.get(top, top)] = self._place(node)

    def _exists(self, top: str) -> bool:
        if top in sys.stdlib_module_names:
            return True
        beside = os.path.join(self.folder, top)
        if os.path.isdir(beside) or os.path.exists(f"{beside}.py"):
            return True
        try:
            return importlib.util.find_spec(top) is not None
        except (ImportError, ValueError, AttributeError):
            return False


def known_fact(dotted: str) -> tuple[str, str, bool] | None:
    """Fact, hint and whether it stops a program, of a dotted name that does not simply work."""
    found = (_KNOWN[prefix] for prefix in _prefixes(dotted) if prefix in _KNOWN)
    return next(found, None)


def _prefixes(dotted: str) -> Iterator[str]:
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])


def render(result: CheckResult) -> list[str]:
    """The answer as lines of text."""
    lines = [f"{result.path}: {'will run' if result.runs else 'will not run as it is'} on cpu"]
    for what, number in sorted(result.redirected.items()):
        lines.append(f"  redirected: {number} {what}")
    for package, place in result.missing.items():
        lines.append(f"  missing:    {place}: pip install {package}")
    for finding in sorted(result.findings, key=lambda entry: entry.location.line):
        kind = "stops:     " if finding.blocks else "differs:   "
        lines.append(f"  {kind} {finding.location}: {finding.fact} / hint: {finding.hint}")
    return lines
