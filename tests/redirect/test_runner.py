"""Scripts in processes of their own: as Python runs them, redirected."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import environment


def test_script_sees_what_python_gives_it(run: Any, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("import torch\nx = torch.ones(1, device='cuda')\n")
    done = run(
        """
        import sys, beside, atexit, __main__
        print(__name__, __file__ == sys.argv[0], sys.argv[1:], beside.x.is_cuda, input())
        print(__main__.__file__ == __file__, sys.path[0] == __file__.rsplit("/", 1)[0])
        atexit.register(print, "goodbye")
        """,
        "--epochs", "3", stdin="hello\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "__main__ True ['--epochs', '3'] True hello", "True True", "goodbye",
    ]  # fmt: skip
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("statement", "code", "stderr"),
    [("sys.exit(3)", 3, ""), ("sys.exit()", 0, ""), ("sys.exit('no')", 1, "no\n"),
     ("sys.exit(True)", 1, ""), ("raise SystemExit(256 + 7)", 7, "")],
)  # fmt: skip
def test_exit_codes(run: Any, statement: str, code: int, stderr: str) -> None:
    done = run(f"import sys\n{statement}\n")
    assert (done.returncode, done.stderr) == (code, stderr)


def test_traceback_is_pythons_own(run: Any, tmp_path: Path) -> None:
    source = """\
import torch
def f(x):
    return x @ torch.ones(7)
try:
    f(torch.ones(3))
except RuntimeError as error:
    raise ValueError("outer") from error
"""
    done = run(source)
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        capture_output=True, text=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "canopy" not in done.stderr
    assert done.stderr == plain.stderr


def test_syntax_error_and_excepthook(run: Any) -> None:
    done = run("x = = 1\n")
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr
    assert "canopy" not in done.stderr
    done = run("import sys\nsys.excepthook = lambda *e: print('mine')\n1 / 0\n")
    assert (done.returncode, done.stdout) == (1, "mine\n")


def start(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "canopy.frontends.redirect", *arguments]
    return subprocess.run(
        line, capture_output=True, text=True, env=environment(), cwd=folder, timeout=120
    )


def test_modules_packages_and_folders(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    body = (
        "import sys, torch\nprint(__name__, __package__, sys.argv[1:], torch.cuda.is_available())\n"
    )
    (package / "part.py").write_text(body)
    (package / "__main__.py").write_text(body)
    assert start("--quiet", "-m", "package.part", "a", folder=tmp_path).stdout == (
        "__main__ package ['a'] True\n"
    )
    assert start("--quiet", "-m", "package", folder=tmp_path).stdout == "__main__ package [] True\n"
    assert start("--quiet", "package", "b", folder=tmp_path).stdout == "__main__  ['b'] True\n"
    missing = start("--quiet", "-m", "nowhere", folder=tmp_path)
    assert missing.returncode == 1
    assert "No module named nowhere" in missing.stderr


def test_missing_script(tmp_path: Path) -> None:
    done = start("nothing.py", folder=tmp_path)
    assert done.returncode == 2
    assert "there is no script nothing.py" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


def test_relative_paths_are_as_in_python(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text("import sys\nprint(__file__, sys.argv, sys.path[0])\n1 / 0\n")
    plain = subprocess.run(
        [sys.executable, "here.py", "a"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    done = start("--quiet", "here.py", "a", folder=tmp_path)
    assert (done.stdout, done.stderr) == (plain.stdout, plain.stderr)


def test_interrupt(tmp_path: Path) -> None:
    (tmp_path / "wait.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    line = [sys.executable, "-m", "canopy.frontends.redirect", "--quiet", "wait.py"]
    with subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "KeyboardInterrupt" in stderr
    assert "canopy" not in stderr


WORKERS = """
import multiprocessing, os, sys, torch
start = torch.ones(2, device="cuda")

def work(queue):
    x = torch.ones(2, device="cuda") * 3
    queue.put((x.is_cuda, x.sum().item(), torch.cuda.is_available()))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    processes = [context.Process(target=work, args=(queue,)) for _ in range(2)]
    for process in processes:
        process.start()
    print(sorted(queue.get(timeout=90) for _ in processes))
    for process in processes:
        process.join()
    print([process.exitcode for process in processes])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_are_redirected(run: Any, method: str) -> None:
    done = run(WORKERS, method)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[(True, 6.0, True), (True, 6.0, True)]", "[0, 0]"]


def test_report(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    done = run(
        """
        import torch
        from canopy.runtime import trace
        f = torch.compile(lambda x: x + 1)
        f(torch.ones(2).cuda())
        trace.record_kernel("softmax", compile_s=0.5, launches=3, run_s=0.002, cache_hits=2)
        """,
        options=("--report", str(path)),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(path.read_text())
    assert facts["counts"]["tensors moved to cuda"] == 1
    assert facts["exit_code"] == 0
    assert facts["kernels"][0]["launches"] == 3
    assert facts["fallbacks"][0]["location"].endswith("script.py:4")
    assert "softmax: 3 launches, 2.000 ms, compiled in 0.50 s, 2 cache hits" in done.stderr
    assert "script.py:4: torch.compile runs eagerly" in done.stderr
    assert "\x1b" not in done.stderr


def test_report_that_cannot_be_written(run: Any) -> None:
    done = run("pass", options=("--quiet", "--report", "/nonexistent/folder/out.json"))
    assert done.returncode == 0
    assert "cannot be written" in done.stderr


DDP = """
import os, torch, torch.distributed as dist
rank = int(os.environ["LOCAL_RANK"])
torch.cuda.set_device(rank)
dist.init_process_group("nccl")
device = torch.device("cuda", rank)
torch.manual_seed(0)
model = torch.nn.Linear(2, 1).to(device)
model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[rank])
model(torch.full((1, 2), float(rank + 1), device=device)).sum().backward()
total = torch.ones(1, device=device) * (rank + 1)
dist.all_reduce(total)
dist.barrier(device_ids=[rank])
line = f"{rank} {total.item()} {total.device} {model.module.weight.grad.tolist()}\\n"
os.write(1, line.encode())  # in one piece: the workers share an unbuffered pipe
dist.destroy_process_group()
"""


@pytest.mark.parametrize("world", [1, 2])
def test_process_group_with_torchrun_variables(tmp_path: Path, world: int) -> None:
    (tmp_path / "train.py").write_text(DDP)
    line = [sys.executable, "-m", "canopy.frontends.redirect", "--quiet", "train.py"]
    port = str(29500 + int(time.time() * 1000) % 2000)
    processes = []
    for rank in range(world):
        variables = {
            **environment(), "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
            "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }  # fmt: skip
        processes.append(
            subprocess.Popen(
                line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables,
                cwd=tmp_path,
            )
        )  # fmt: skip
    total, gradient = sum(range(1, world + 1)), sum(range(1, world + 1)) / world
    for rank, process in enumerate(processes):
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        assert stdout == f"{rank} {float(total)} cuda:{rank} [[{gradient}, {gradient}]]\n"


def test_torchs_launcher_starts_redirected_workers(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(DDP)
    done = start(
        "--quiet", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "train.py", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "0 3.0 cuda:0 [[1.5, 1.5]]",
        "1 3.0 cuda:1 [[1.5, 1.5]]",
    ]
