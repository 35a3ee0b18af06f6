"""The timing model: replay against a simulation without shortcuts, and timing mode against it."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

import triton.language as tl  # noqa: E402

import canopy  # noqa: E402
from canopy.errors import UnsupportedError  # noqa: E402
from canopy.ir.types import F32  # noqa: E402
from canopy.targets.ascend import load_chip, lower_kernel, recorder, replay  # noqa: E402
from canopy.targets.ascend.l2 import missing_shares  # noqa: E402
from canopy.targets.ascend.npu import (  # noqa: E402
    Barrier,
    Buffer,
    Fixpipe,
    LoadMatrix,
    Matrix,
    Move,
    Pipe,
    SetEvent,
    Space,
    View,
    WaitEvent,
)
from canopy.targets.ascend.recorder import CoreTrace, Item, Recorder  # noqa: E402
from canopy.targets.ascend.scalars import Number  # noqa: E402


@triton.jit
def add(x, y, o, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    tl.store(o + i, tl.load(x + i, mask=inside) + tl.load(y + i, mask=inside), mask=inside)


@triton.jit
def softmax(x, o, stride, n, BLOCK: tl.constexpr):
    row = tl.program_id(0) * stride
    c = tl.arange(0, BLOCK)
    v = tl.load(x + row + c, mask=c < n, other=-float("inf"))
    e = tl.exp(v - tl.max(v, 0))
    tl.store(o + row + c, e / tl.sum(e, 0), mask=c < n)


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    blocks = tl.cdiv(N, BN)
    m = tl.program_id(0) // blocks * BM + tl.arange(0, BM)
    n = tl.program_id(0) % blocks * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    pa = a + m[:, None] * K + k[None, :]
    pb = b + k[:, None] * N + n[None, :]
    acc = tl.zeros((BM, BN), tl.float32)
    for i in range(0, K, BK):
        x = tl.load(pa, mask=(m[:, None] < M) & (k[None, :] < K - i), other=0.0)
        y = tl.load(pb, mask=(n[None, :] < N) & (k[:, None] < K - i), other=0.0)
        acc = tl.dot(x, y, acc)
        pa += BK
        pb += BK * N
    inside = (m[:, None] < M) & (n[None, :] < N)
    tl.store(c + m[:, None] * N + n[None, :], acc.to(c.dtype.element_ty), mask=inside)


@triton.jit
def scattered_matmul(
    a, b, c, places, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr
):
    """As `matmul`, its rows and columns from a table."""
    blocks = tl.cdiv(N, BN)
    m = tl.load(places + tl.program_id(0) // blocks * BM + tl.arange(0, BM))
    n = tl.load(places + tl.program_id(0) % blocks * BN + tl.arange(0, BN))
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for i in range(0, K, BK):
        x = tl.load(a + m[:, None] * K + (i + k)[None, :])
        y = tl.load(b + (i + k)[:, None] * N + n[None, :])
        acc = tl.dot(x, y, acc)
    tl.store(c + m[:, None] * N + n[None, :], acc.to(c.dtype.element_ty))


@triton.jit
def ragged(x, starts, o, BLOCK: tl.constexpr):
    """Rows of lengths that stand in memory."""
    row = tl.program_id(0)
    first, end = tl.load(starts + row), tl.load(starts + row + 1)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(first, end, BLOCK):
        c = i + tl.arange(0, BLOCK)
        total += tl.load(x + c, mask=c < end, other=0.0)
    tl.store(o + row, tl.sum(total, 0))


@triton.jit
def halved(x, o, BLOCK: tl.constexpr):
    """As many trips as the data says."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + i)
    while tl.max(v, 0) > 1.0:
        v = v * 0.5
    tl.store(o + i, v)


@triton.jit
def triangle(x, o, n, BLOCK: tl.constexpr):
    """Later programs have more to do, as in causal attention."""
    row = tl.program_id(0)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(row + 1):
        total += tl.load(x + i * BLOCK + tl.arange(0, BLOCK))
    tl.store(o + row * BLOCK + tl.arange(0, BLOCK), total)


def run_add(n: int, **options: Any) -> Any:
    x, o = torch.ones(n), torch.zeros(n)
    block = options.pop("BLOCK", 4096)
    grid = (triton.cdiv(n, block),)
    return canopy.simulate(add, grid, (x, x.clone(), o, n), {"BLOCK": block}, **options)


def run_softmax(rows: int, n: int, **options: Any) -> Any:
    x = torch.randn(rows, n)
    block = triton.next_power_of_2(n)
    return canopy.simulate(
        softmax, (rows,), (x, torch.empty_like(x), n, n), {"BLOCK": block}, **options
    )


def run_matmul(m: int, n: int, k: int, **options: Any) -> Any:
    a = torch.zeros(m, k, dtype=torch.float16)
    b = torch.zeros(k, n, dtype=torch.float16)
    c = torch.zeros(m, n, dtype=torch.float16)
    grid = (triton.cdiv(m, 128) * triton.cdiv(n, 256),)
    return canopy.simulate(
        matmul, grid, (a, b, c, m, n, k), {"BM": 128, "BN": 256, "BK": 64}, **options
    )


def run_ragged(rows: int, **options: Any) -> Any:
    lengths = torch.randint(0, 900, (rows,), generator=torch.Generator().manual_seed(rows))
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]).to(torch.int32)
    x = torch.randn(int(starts[-1]))
    return canopy.simulate(
        ragged, (rows,), (x, starts, torch.zeros(rows)), {"BLOCK": 128}, **options
    )


def run_triangle(rows: int, **options: Any) -> Any:
    x, o = torch.ones(rows * 256), torch.zeros(rows * 256)
    return canopy.simulate(triangle, (rows,), (x, o, rows), {"BLOCK": 256}, **options)


CASES = {
    "add": lambda mode: run_add(300_007, mode=mode),
    "add in one": lambda mode: run_add(7, mode=mode),
    "softmax": lambda mode: run_softmax(203, 781, mode=mode, chip="950pr"),
    "matmul": lambda mode: run_matmul(140, 260, 800, mode=mode),
    "ragged": lambda mode: run_ragged(101, mode=mode),
    "triangle": lambda mode: run_triangle(131, mode=mode),
}


@pytest.mark.parametrize("case", CASES)
def test_timing_mode_is_the_functional_one_without_the_results(case: str) -> None:
    whole, quick = CASES[case]("functional"), CASES[case]("timing")
    assert quick.cycles == pytest.approx(whole.cycles, rel=0.01)
    assert quick.tflops == pytest.approx(whole.tflops, rel=0.01)
    assert quick.bound_by == whole.bound_by
    assert quick.pipes == pytest.approx(whole.pipes, rel=0.03)
    assert "data" not in " ".join(quick.notes)


def test_timing_mode_computes_nothing() -> None:
    x, o = torch.ones(10_000), torch.full((10_000,), 7.0)
    report = canopy.simulate(add, (3,), (x, x, o, 10_000), {"BLOCK": 4096}, mode="timing")
    assert (o == 7).all()
    assert report.mode == "timing"
    assert report.hazards == ()


def test_what_depends_on_data_is_run_on_memory_that_is_put_back() -> None:
    x, o = torch.full((64 * 128,), 37.0), torch.full((64 * 128,), 7.0)
    args, kwargs = (x, o), {"BLOCK": 128}
    quick = canopy.simulate(halved, (64,), args, kwargs, mode="timing")
    assert (o == 7).all()
    assert any("depend on data" in note for note in quick.notes)
    whole = canopy.simulate(halved, (64,), args, kwargs)
    assert (o == 37 / 64).all()
    assert quick.cycles == pytest.approx(whole.cycles, rel=0.02)


def test_a_vector_add_reaches_what_the_hbm_gives() -> None:
    report = run_add(32 << 20, mode="timing")
    assert 0.8 * 1.6e12 < report.gbps * 1e9 <= 1.6e12
    assert report.bound_by == "HBM"
    low, high = report.band_s
    assert low < report.time_s < high
    assert low >= 3 * 4 * (32 << 20) / 1.6e12


def test_a_chip_of_ones_own_is_simulated(tmp_path: Path) -> None:
    chips = Path(replay.__file__).parent / "chips"
    text = (chips / "910b2.toml").read_text().replace('name = "910B2"', 'name = "Half"')
    path = tmp_path / "Half.toml"
    path.write_text(text.replace("value = 1.6e12", "value = 0.8e12"))
    whole, half = run_add(8 << 20, mode="timing"), run_add(8 << 20, mode="timing", chip=str(path))
    assert half.chip.name == "Half"
    assert half.time_s == pytest.approx(2 * whole.time_s, rel=0.05)


def test_lowering_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the 0.5 s that a softmax may take, and the 3 s of attention, this is all that is ours."""
    from canopy.frontends.triton import simulated

    spent: dict[str, float] = {}

    def timed(kernel: Any, *args: Any, **options: Any) -> Any:
        began = time.process_time()
        program = lower_kernel(kernel, *args, **options)
        spent[kernel.name] = time.process_time() - began
        return program

    monkeypatch.setattr(simulated, "lower_kernel", timed)
    softmax.canopy_simulated.clear() if hasattr(softmax, "canopy_simulated") else None
    run_softmax(3, 1000, mode="timing", chip="910c")
    assert spent["softmax"] < 0.25


def test_one_core_is_bound_by_its_own_copies() -> None:
    """The HBM is shared: a core alone gets its own rate, not all of it."""
    report = run_add(8192, BLOCK=8192, mode="timing")
    assert report.cores == 1
    assert report.gbps * 1e9 < 32 * 1.8e9
    assert report.hbm_share < 0.05


def test_a_large_matmul_takes_seconds() -> None:
    began = time.process_time()
    report = run_matmul(8192, 8192, 8192, mode="timing")
    assert report.time_s > 2 * 8192**3 / report.chip.peak_f16_flops
    assert report.recorded.cores
    assert time.process_time() - began < 5
    assert report.balance > 0.9
    assert 0.7 < report.peak_share < 0.95


def test_elements_one_by_one_are_a_thousand_times_slower() -> None:
    """The negative control: a product whose addresses show no blocks, as users of a compiler that
    does not see through `% M` report it."""
    size = 1024
    a = torch.zeros(size, size, dtype=torch.float16)
    places = torch.arange(size, dtype=torch.int32)
    args = (a, a.clone(), torch.zeros_like(a), places, size, size, size)
    tiles = {"BM": 128, "BN": 256, "BK": 64}
    naive = canopy.simulate(scattered_matmul, (32,), args, tiles, mode="timing")
    assert 300 < naive.time_s / run_matmul(size, size, size, mode="timing").time_s < 5000


def test_work_is_dealt_out_evenly() -> None:
    assert run_triangle(480, mode="timing").balance > 0.9


def test_a_mode_that_is_not_there() -> None:
    with pytest.raises(UnsupportedError, match="no mode 'fast'"):
        run_add(100, mode="fast")


@pytest.mark.parametrize("mode", ["functional", "timing"])
def test_ctrl_c_prints_what_there_is(
    mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here in place of the signal: the 40th read of a register file of a copy raises."""
    measured = recorder.measure
    left = [40]

    def interrupt(*args: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return measured(*args)

    x = torch.full((64 * 128,), 37.0)
    args, kwargs = (x, torch.zeros(64 * 128)), {"BLOCK": 128}
    monkeypatch.setattr(recorder, "measure", interrupt)
    with pytest.raises(KeyboardInterrupt):
        canopy.simulate(halved, (64,), args, kwargs, mode=mode)
    said = capsys.readouterr().err
    assert "halved" in said
    assert "interrupted" in said


# ---- outputs


def test_every_output_says_simulated_with_date_and_band(tmp_path: Path) -> None:
    report = run_softmax(96, 500)
    date = load_chip("910b2").date
    report.html(tmp_path / "r.html")
    report.trace(tmp_path / "t.json")
    page, trace = (tmp_path / "r.html").read_text(), (tmp_path / "t.json").read_text()
    for text in (str(report), page, trace, report._repr_html_()):
        assert "simulated" in text
        assert date in text
        assert report.band in text
    loaded = re.findall(r"(?:https?:)?//[\w.]+", page.replace("http://www.w3.org/2000/svg", ""))
    assert loaded == []
    assert "<script" not in page
    events = json.loads(trace)["traceEvents"]
    tracks = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert {"MTE2", "V", "MTE3"} <= tracks
    spans = [e for e in events if e["ph"] == "X" and e.get("args", {}).get("instruction")]
    assert {"exp" in e["args"]["instruction"].lower() for e in spans} == {True, False}
    assert all(e["dur"] > 0 for e in spans)
    assert any("test_timing.py" in e["args"]["line"] for e in spans)


# ---- the model itself


def matrix_of(rows: int, columns: int) -> Matrix:
    return Matrix(Buffer(Space.L0A, 0, 1 << 16, F32), "zZ", rows, columns, rows, columns)


def random_trace(rng: random.Random) -> Any:
    """Pipes with work of random length, joined by events in a loop, as double buffering does."""
    recorder = Recorder()
    buffer = Buffer(Space.UB, 0, 1 << 20, F32)
    view = View(buffer, (rng.randrange(1, 4000),), (1,))
    matrix = matrix_of(rng.randrange(1, 40), rng.randrange(1, 200))
    steps = [
        Move(target=view, source=Number(0, F32)),
        LoadMatrix(target=matrix, source=matrix),
        Fixpipe(source=matrix, type=F32, target=view),
    ]
    first, second = rng.sample(steps, 2)
    forward = rng.random() < 0.8
    back = rng.random() < 0.5

    def event(kind: Any, source: Any, target: Any, number: int) -> Any:
        return kind(source=source.pipe, target=target.pipe, event=number)

    def add(*instructions: Any) -> None:
        for instruction in instructions:
            recorder.step(instruction, [])

    recorder.begin()
    add(*rng.choices(steps, k=rng.randrange(4)))
    if back:
        add(event(SetEvent, second, first, 1))
    recorder.begin()
    add(event(WaitEvent, second, first, 1)) if back else None
    add(*[first] * rng.randrange(1, 4))
    if forward:
        add(event(SetEvent, first, second, 0), event(WaitEvent, first, second, 0))
    add(*[second] * rng.randrange(1, 4))
    add(*rng.choices([steps[0], Barrier()], k=rng.randrange(2)))
    add(event(SetEvent, second, first, 1)) if back else None
    trip = recorder.end()
    recorder.repeat(trip, rng.randrange(1, 400))
    add(*steps)
    recorder.trace.cores.append(CoreTrace(recorder.end(), 1, 1))
    return recorder.trace


def test_reckoned_trips_end_when_followed_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = load_chip("910b2")
    for seed in range(60):
        trace = random_trace(random.Random(seed))
        quick = replay.replay(trace, chip, {})
        with monkeypatch.context() as patch:
            patch.setattr(replay, "_SETTLED_TRIPS", 1 << 30)
            followed = replay.replay(trace, chip, {})
        assert quick.cycles == pytest.approx(followed.cycles, rel=1e-6), seed
        assert quick.busy == followed.busy


def test_an_event_holds_a_pipe_back() -> None:
    chip = load_chip("910b2")
    view = View(Buffer(Space.UB, 0, 1 << 20, F32), (6400,), (1,))
    fill = Move(target=view, source=Number(0, F32))
    load = LoadMatrix(target=matrix_of(64, 96), source=matrix_of(64, 96))

    def cycles(*instructions: Any) -> float:
        recorder = Recorder()
        recorder.begin()
        for instruction in instructions:
            recorder.step(instruction, [])
        recorder.trace.cores.append(CoreTrace(recorder.end(), 1, 1))
        return replay.replay(recorder.trace, chip, {}).cycles - chip.launch_cycles

    filling = chip.vector_start_cycles + 100 * chip.repeat_cycles
    loading = chip.cube_start_cycles + 64 * 96 * 4 / chip.l1_to_l0_bytes_per_cycle
    assert cycles(fill) == filling
    assert cycles(fill, load) == max(filling, loading + 1)  # side by side, issued a cycle later
    told = SetEvent(source=Pipe.V, target=Pipe.MTE1, event=0)
    waits = WaitEvent(source=Pipe.V, target=Pipe.MTE1, event=0)
    assert cycles(fill, told, waits, load) == filling + chip.event_cycles + loading
    assert cycles(fill, Barrier(), load) == filling + loading


def test_the_cache_answers_what_neighbours_and_earlier_waves_read() -> None:
    def read(address: int, size: int, moved: int = 0) -> Item:
        return Item(address, size, moved or size, False)

    shared = [{1: read(0, 100), 2: read(1000 + i, 100)} for i in range(4)]
    assert missing_shares(shared, 4, 1 << 20) == {1: 0.25, 2: 1.0}
    assert missing_shares(shared, 1, 1 << 20) == {1: 0.25, 2: 1.0}
    assert missing_shares(shared, 1, 150) == {1: 1.0, 2: 1.0}  # nothing stays until the next wave
    assert missing_shares([{1: read(0, 100, 500)}], 1, 1000) == {1: 0.2}
    assert missing_shares([{1: read(0, 2000, 4000)}], 1, 1000) == {1: 1.0}
    written = Item(0, 100, 100, True)
    assert missing_shares([{1: written}, {1: written}], 1, 1000) == {1: 1.0}
