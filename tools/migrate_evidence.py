"""Recomputes the figures of docs/migrate.md on labelled findings of real projects.

    pip download --no-deps --no-binary :all: -d SDISTS flash-attn causal-conv1d ...
    python tools/migrate_evidence.py SDISTS              # precision, recall and coverage
    python tools/migrate_evidence.py SDISTS --sample     # draws what is to be labelled

SDISTS holds the archives named in tests/migrate/evidence/projects.json. The labels beside it refer
to lines of their files by number and hash: no code of those projects is kept here.

- Precision: of a random sample of findings, the share that a reader agrees with: a use of CUDA
  stands there, and what is said of it holds.
- Recall: of the lines of randomly chosen files in which a reader sees a use of CUDA, the share that
  has a finding.
- Coverage: in projects that were not looked at while rules were written, the share of the words of
  CUDA's interfaces (`OCCURRENCE`) that a finding stands at.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import re
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from canopy.frontends.cuda.host_functions import without_comments
from canopy.migrate.findings import FileReport
from canopy.migrate.project import read_project
from canopy.migrate.walker import kind_of

EVIDENCE = Path(__file__).resolve().parents[1] / "tests" / "migrate" / "evidence"
SEED = 20261124
FINDINGS, FILES = 200, 20
MOST_LINES = 300  # of a file that a reader labels whole

# What stands for CUDA in a text, whatever the rules say: written from NVIDIA's and torch's
# documentation, by families of names.
_CPP = re.compile(
    r"\b(?:cuda[A-Z]\w*|cu(?:Ctx|Device|Module|Mem|Launch|Stream|Event|Func|Init|Tensor)[A-Z]\w*|"
    r"CU_[A-Z]\w+|CUDA_[RC]_\d\w+|CUDA_VERSION|CUDART_\w+|CUdevice\w*|CUcontext|CUmodule|"
    r"CUstream\w*|CUfunction|CUresult|CUtensor\w*|cublas(?:[A-Z]|Lt)\w+|CUBLAS_[A-Z]\w+|"
    r"cudnn[A-Z]\w+|CUDNN_[A-Z]\w+|nccl[A-Z]\w+|curand[A-Z_]\w*|cusparse[A-Z]\w+|"
    r"CUSPARSE_[A-Z]\w+|cusolver[A-Z]\w+|cufft[A-Z]\w+|CUFFT_[A-Z]\w+|nvml[A-Z]\w+|"
    r"nvrtc[A-Z]\w+|nvtx[A-Z]\w+|thrust|cub|cutlass|cute|wmma|nvcuda|cooperative_groups|"
    r"__global__|__device__|__host__|__shared__|__constant__|__managed__|__launch_bounds__|"
    r"__syncthreads\w*|__syncwarp|__threadfence\w*|__shfl\w*|__ballot\w*|__any_sync|__all_sync|"
    r"__activemask|__match_\w+|__reduce_\w+|__ldg|__ldc[asgv]|__st[cw][bgst]\w*|__popc\w*|__clz\w*|"
    r"__ffs\w*|__brev\w*|__byte_perm|__dp[24]a\w*|__float_as_\w+|__int_as_float|__nanosleep|"
    r"__half2?|half2|__nv_bfloat162?|nv_bfloat162?|__nv_fp8\w*|__float2half\w*|__half2float|"
    r"__h[a-z]+2|__f[a-z]+_r[nzud]|__expf|__logf|__sinf|__cosf|__powf|__fdividef|__saturatef|"
    r"atomic(?:Add|Sub|Exch|Min|Max|Inc|Dec|CAS|And|Or|Xor)\w*|threadIdx|blockIdx|blockDim|gridDim|"
    r"warpSize|dim3|tex[123]D\w*|surf[123]D\w*|__nv_\w+|"
    r"C10_CUDA_\w+|AT_CUDA_\w+|TORCH_CUDA\w*|CUDAGuard|OptionalCUDAGuard|CUDAStream\w*|"
    r"getCurrentCUDAStream|getStreamFromPool|CUDAContext\w*|CUDAEvent|__CUDA_ARCH\w*|__CUDACC\w*|__NVCC__)\b"
)
_PYTHON = re.compile(
    r"\btorch\.cuda(?:\.\w+)*|\btorch\.backends\.(?:cuda|cudnn)\b|\.cuda\(|\.is_cuda\b|"
    r"(?<![\w.])(?:cupy|cupyx|pycuda|pynvml|numba\.cuda|flash_attn|xformers|apex|bitsandbytes|"
    r"tensorrt|transformer_engine|nvtx|cudf|rmm|cuml)\b(?=[.\s,)]|$)|"
    r"[\"']cuda(?::\d)?[\"']|[\"']nccl[\"']|\bCUDAExtension\b|\bCUDA_HOME\b|\bcpp_extension\b"
)
_TEXT = re.compile(
    r"\bnvcc\b|\bnvidia-smi\b|nvidia/cuda|-gencode|\bsm_\d\d|compute_\d\d|CUDA_VISIBLE_DEVICES|"
    r"-lcuda\w*|-lcublas|find_package\(CUDA\w*|CUDA::\w+|CUDA_ARCHITECTURES|cuda_add_\w+"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sdists", type=Path)
    parser.add_argument("--sample", action="store_true", help="draw a fresh sample, unlabelled")
    parser.add_argument("--missed", action="store_true", help="also print what coverage misses")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    projects = json.loads((EVIDENCE / "projects.json").read_text())
    with tempfile.TemporaryDirectory(prefix="evidence-") as name:
        folder = Path(name)
        if options.sample:
            return draw(options.sdists, projects["labelled"], folder, options.seed)
        show_precision(options.sdists, folder)
        show_recall(options.sdists, folder)
        show_coverage(options.sdists, projects["coverage"], folder, options.missed)
    return 0


# ---- projects ----------------------------------------------------------------------------------


def unpacked(sdists: Path, archive: str, folder: Path) -> Path:
    """The folder of an sdist, without what it carries of others' (third_party, CUTLASS)."""
    target = folder / archive.removesuffix(".tar.gz")
    if not target.exists():
        with tarfile.open(sdists / archive) as file:
            members = [m for m in file if m.isfile() and not _is_foreign(m.name)]
            file.extractall(target, members, filter="data")
    (inside,) = (path for path in target.iterdir() if path.is_dir())
    return inside


def _is_foreign(name: str) -> bool:
    parts = name.lower().split("/")
    foreign = {"third_party", "3rdparty", "thirdparty", "cutlass", "composable_kernel"}
    return bool(foreign & set(parts)) or not kind_of(parts[-1])


def reports_of(root: Path) -> list[FileReport]:
    return read_project(root).files


def hashed(line: str) -> str:
    return hashlib.sha256(line.strip().encode()).hexdigest()[:12]


def lines_of(root: Path, path: str) -> list[str]:
    return (root / path).read_bytes().decode("utf-8", "replace").split("\n")


# ---- samples -----------------------------------------------------------------------------------


def draw(sdists: Path, archives: list[str], folder: Path, seed: int) -> int:
    """Prints a sample as JSON: findings from all projects alike, and files with or without."""
    random_ = random.Random(seed)
    findings, files = [], []
    for archive in archives:
        root = unpacked(sdists, archive, folder)
        found = []
        for report in reports_of(root):
            if report.note:
                continue
            lines = lines_of(root, report.path)
            for one in report.findings:
                line = lines[one.line - 1] if one.line <= len(lines) else ""
                found.append(_row(archive, report.path, one, line))
            if report.kind in ("python", "cuda", "cpp") and 20 < report.lines < MOST_LINES:
                files.append(
                    {"project": archive, "path": report.path, "uses": bool(report.findings)}
                )
        findings += random_.sample(found, min(len(found), 3 * FINDINGS // len(archives)))
    with_uses = [file for file in files if file["uses"]]
    without = [file for file in files if not file["uses"]]
    chosen = random_.sample(with_uses, FILES - 4) + random_.sample(without, 4)
    sample = {"findings": random_.sample(findings, FINDINGS), "files": chosen}
    json.dump(sample, sys.stdout, indent=1)
    return 0


def _row(archive: str, path: str, finding: object, line: str) -> dict[str, object]:
    return {
        "project": archive, "path": path, "line": finding.line, "column": finding.column,
        "rule": finding.rule, "what": finding.what, "hash": hashed(line),
    }  # fmt: skip


# ---- figures -----------------------------------------------------------------------------------


def show_precision(sdists: Path, folder: Path) -> None:
    """Counts labels; a label whose finding is gone, or says something else now, is told."""
    labels = json.loads((EVIDENCE / "findings.json").read_text())
    counts: Counter[bool] = Counter()
    gone = 0
    for archive, rows in _by_project(labels).items():
        root = unpacked(sdists, archive, folder)
        known = {
            (report.path, one.line, one.rule, one.what)
            for report in reports_of(root)
            for one in report.findings
        }
        for row in rows:
            if (row["path"], row["line"], row["rule"], row["what"]) in known:
                counts[row["right"]] += 1
            else:
                gone += 1
    total = counts.total()
    print(
        f"precision: {counts[True]}/{total} = {counts[True] / max(total, 1):.1%}, {gone} are gone"
    )


def _by_project(rows: list[dict]) -> dict[str, list[dict]]:
    found = defaultdict(list)
    for row in rows:
        found[row["project"]].append(row)
    return found


def show_recall(sdists: Path, folder: Path) -> None:
    labels = json.loads((EVIDENCE / "files.json").read_text())
    found = total = extra = 0
    for archive, rows in _by_project(labels).items():
        root = unpacked(sdists, archive, folder)
        reports = {report.path: report for report in reports_of(root)}
        for row in rows:
            used = {line for line, _ in row["lines"]}
            told = {one.line for one in reports[row["path"]].findings}
            found, total, extra = (
                found + len(used & told),
                total + len(used),
                extra + len(told - used),
            )
    print(f"recall: {found}/{total} lines = {found / max(total, 1):.1%} in {len(labels)} files; "
          f"{extra} lines with findings are no uses")  # fmt: skip


def show_coverage(sdists: Path, archives: list[str], folder: Path, shows_missed: bool) -> None:
    covered = total = 0
    missed: Counter[tuple[str, str]] = Counter()
    for archive in archives:
        root = unpacked(sdists, archive, folder)
        here = [0, 0]
        own = {path.parent.name for path in root.rglob("__init__.py")}
        for report in reports_of(root):
            if report.note or report.kind == "notebook":
                continue
            told = defaultdict(list)
            for one in report.findings:
                told[one.line].append(one.what)
            for line, word in occurrences(root, report):
                if word.partition(".")[0] in own:
                    continue  # the project's own package
                is_told = any(word in what or what in word for what in told[line])
                here[0] += is_told
                here[1] += 1
                if not is_told:
                    missed[report.kind, word] += 1
        print(f"coverage: {archive}: {here[0]}/{here[1]} = {here[0] / max(here[1], 1):.1%}")
        covered, total = covered + here[0], total + here[1]
    print(f"coverage: {covered}/{total} = {covered / max(total, 1):.1%}")
    for (kind, word), count in missed.most_common(80) if shows_missed else ():
        print(f"  missed {count:5} {kind:8} {word}")


def occurrences(root: Path, report: FileReport) -> Iterator[tuple[int, str]]:
    """(line, word) of every word of CUDA's interfaces in a file; comments are left out."""
    text = (root / report.path).read_bytes().decode("utf-8", "replace")
    if report.kind in ("cuda", "cpp"):
        yield from _matches(_CPP, without_comments(text))
    elif report.kind == "python":
        yield from _matches(_PYTHON, _code_of_python(text))
    else:
        yield from _matches(_TEXT, re.sub(r"(?m)(^|\s)#.*$", "", text))


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        for match in pattern.finditer(line):
            yield number, match[0].strip("\"'(.")


def _code_of_python(text: str) -> str:
    """Without comments and without strings that are longer than a word."""
    lines = text.split("\n")
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return ""
    for token in tokens:
        is_text = token.type == tokenize.STRING and len(token.string) > 12
        if token.type == tokenize.COMMENT or is_text or token.type == 61:  # FSTRING_MIDDLE
            _blank(lines, token.start, token.end)
    return "\n".join(lines)


def _blank(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> None:
    for number in range(start[0], end[0] + 1):
        line = lines[number - 1]
        first = start[1] if number == start[0] else 0
        last = end[1] if number == end[0] else len(line)
        lines[number - 1] = line[:first] + " " * (last - first) + line[last:]


if __name__ == "__main__":
    sys.exit(main())
