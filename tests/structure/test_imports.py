"""The house stands: who imports whom, what is public, and that importing Canopy is cheap."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "canopy"

# From the ground up. A layer imports itself and what stands below it.
LAYERS = (
    "errors",
    "config",
    "runtime",
    "ir",
    "passes",
    "targets",
    "compiler",
    "graph",
    "frontends",
)
LEVEL = {name: level for level, name in enumerate(LAYERS)}
LEVEL["failure"] = LEVEL["config"]  # redacted failure reports: needs the cache's place, no more
LEVEL["ops"] = LEVEL["frontends"] + 1
LEVEL["migrate"] = LEVEL["frontends"] + 1
LEVEL["cuda"] = LEVEL["frontends"] + 1
LEVEL["ascend"] = LEVEL["frontends"] + 1
TOP = {"build", "cli", "doctor", "inspect", "__init__", "__main__"}
# What stands below in the list and yet must not be imported: neighbours with a wall between them.
WALLS = {
    "ir": {"runtime"},
    "passes": {"runtime"},
    "migrate": {"ir", "passes", "targets", "compiler", "graph"},
    "frontends.redirect": {"ir", "passes", "targets", "compiler", "graph"},
}
HEAVY = (
    "torch",
    "triton",
    "llvmlite",
    "transformers",
    "onnx",
    "ziglang",
    "numpy",
    "rich",
    "typer",
    "libcst",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imported_modules(path: Path) -> list[tuple[int, str]]:
    """Every `canopy...` module that a file imports, anywhere in it, with the line."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return [(line, name) for line, name in found if name.split(".")[0] == "canopy"]


def layer_of(module: str) -> str:
    return module.split(".")[0]


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def violation(importer: str, imported: str) -> str | None:
    """Why `importer` must not import `imported` (both without the leading `canopy.`), or None."""
    here, there = layer_of(importer), layer_of(imported)
    if here in TOP or here == there or there in {"__version__", "cuda_as"}:
        return None
    if there in TOP:
        return f"{there} stands at the very top"
    if here not in LEVEL or there not in LEVEL:
        return f"{here if here not in LEVEL else there} has no place in LAYERS: give it one"
    if LEVEL[there] > LEVEL[here]:
        return f"{there} stands above {here}"
    for walled, forbidden in WALLS.items():
        inside = importer == walled or importer.startswith(f"{walled}.")
        if inside and there in forbidden:
            return f"{walled} must not know {there}"
    return None


def test_layers_import_downwards_only():
    wrong = []
    for path in sources():
        importer = module_name(path)
        for line, name in imported_modules(path):
            reason = violation(importer, name.removeprefix("canopy.").removeprefix("canopy"))
            if name != "canopy" and reason:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: imports {name}, but {reason}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("passes.strips", "ir.ops", True),
        ("ir.ops", "passes.strips", False),
        ("runtime.stream", "ir.types", False),
        ("targets.cpu.emit", "runtime.launch", True),
        ("frontends.redirect.commands", "runtime.launch", True),
        ("frontends.redirect.commands", "compiler", False),
        ("frontends.triton.driver", "compiler.compile", True),
        ("cli", "frontends.redirect.commands", True),
        ("migrate.statuses", "frontends.redirect.check", True),
        ("frontends.redirect.check", "migrate.rules", False),
        ("migrate.project", "compiler", False),
        ("runtime", "cli", False),
        ("brandnew", "errors", False),
    ],
)
def test_the_rule_itself(importer: str, imported: str, allowed: bool):
    assert (violation(importer, imported) is None) == allowed


def public_modules() -> list[Path]:
    """Package roots, and the modules at the top of the package."""
    roots = set(PACKAGE.rglob("__init__.py")) | set(PACKAGE.glob("*.py"))
    return sorted(
        path
        for path in roots
        if not any(part.startswith("_") for part in path.relative_to(PACKAGE).parts[:-1])
        and not (path.name.startswith("_") and path.name != "__init__.py")
    )


@pytest.mark.parametrize("path", public_modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_modules_say_what_is_public(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = [node for node in tree.body if not isinstance(node, ast.Expr)]
    if not body:
        return  # nothing but a docstring: nothing to export
    names = [
        target.id
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]
    assert "__all__" in names, f"{path.relative_to(ROOT)} has no __all__"


def run_python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy():
    loaded = run_python("import canopy, sys; print(*sys.modules)").split()
    assert [name for name in HEAVY if name in loaded] == []


def test_import_is_quick():
    code = (
        "import time; start = time.perf_counter(); import canopy; "
        "print(time.perf_counter() - start)"
    )
    best_s = min(float(run_python(code)) for _ in range(5))
    assert best_s < 0.2


def tracked_files() -> list[Path]:
    """Text files of the repository, as git sees them; all of them where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode == 0:
        return [ROOT / name for name in listing.stdout.split("\0") if name]
    skipped = {".git", ".venv", "site", "build"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)
    ]


def test_no_absolute_paths_of_a_machine():
    # Put together here so that this file does not contain what it looks for.
    places = "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me/[a-z]", "Us" + "ers/[A-Za-z]"])
    pattern = re.compile(rf"(?<![\w.~/*)\]}}-])/(?:{places})\b(?:/|(?=[\s\"'`]|$))")
    wrong = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not wrong, "\n".join(wrong)
