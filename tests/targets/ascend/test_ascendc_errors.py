"""What the CPU header says of wrong Ascend C: each mutant of a right kernel is caught."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ziglang", reason="pip install canopy-nn[cuda]")

from canopy.ascend import RawKernel
from canopy.errors import CompileError, KernelError, LaunchError

FOLDER = Path(__file__).parent / "hand_written"
START = '#include "kernel_operator.h"\nusing namespace AscendC;\n'


def part_of(file: str, first: str, last: str) -> str:
    """The lines of a file between two markers, as a source of its own."""
    text = (FOLDER / file).read_text()
    return text[text.index(first) : text.index(last)]


ADD = START + part_of("elementwise.cpp", "struct Share", "// ---- 2.")
EVENTS = (
    START
    + part_of("elementwise.cpp", "struct Share", "// ---- 1.")
    + (FOLDER / "elementwise.cpp").read_text().partition("two tiles in turn\n")[2]
)

N = 1003


def run_add(source: str) -> np.ndarray[Any, Any]:
    x = np.arange(N, dtype=np.float32)
    z = np.full(N, np.nan, np.float32)
    kernel = RawKernel(source, "add_custom", filename="add.cpp")
    kernel(2, (x, x, z, N, 120))
    assert kernel.notes == ()
    np.testing.assert_array_equal(z, x + x)
    return z


def run_events(source: str) -> None:
    x = np.linspace(-3, 3, 5000, dtype=np.float32)
    y = np.full_like(x, np.nan)
    kernel = RawKernel(source, "swish_events", filename="add.cpp")
    kernel(2, (x, y, len(x)))
    assert kernel.notes == ()
    np.testing.assert_allclose(y, x / (1 + np.exp(-x)), rtol=1e-6)


def mutant(source: str, old: str, new: str) -> str:
    assert old in source
    return source.replace(old, new, 1)


def test_the_originals_are_right() -> None:
    run_add(ADD)
    run_events(EVENTS)


ADD_MUTANTS = [
    # a wrong length
    (
        "Add(zLocal, xLocal, yLocal, count)",
        "Add(zLocal, xLocal, yLocal, count + 200)",
        "bytes 0 to",
    ),
    (
        "Add(zLocal, xLocal, yLocal, count)",
        "Add(zLocal, xLocal, yLocal, count - 1)",
        "never written",
    ),
    (
        "StoreRow(zGm[i], zLocal, count)",
        "StoreRow(zGm[i], zLocal, count + 8)",
        "bytes 0 to 512 of a buffer|elements|never",
    ),
    ("LoadRow(xLocal, xGm[i], count)", "LoadRow(xLocal, xGm[i], tileLength)", "elements .* has"),
    ("LoadRow(yLocal, yGm[i], count)", "DataCopy(yLocal, yGm[i], count)", "no multiple of 32"),
    # a wrong offset
    ("xGm[i], count", "xGm[i + 400], count", "elements .* has"),
    ("Add(zLocal, xLocal,", "Add(zLocal, xLocal[3],", "no multiple of 32"),
    ("Add(zLocal, xLocal,", "Add(zLocal[8], xLocal,", "never written|bytes .* of a buffer"),
    # a wrong queue
    ("inQueueX.EnQue(xLocal)", "inQueueY.EnQue(xLocal)", "not of this queue"),
    ("inQueueX.EnQue(xLocal);", "", "DeQue of an empty queue"),
    ("outQueueZ.FreeTensor(zLocal);", "", "in use|never freed"),
    ("inQueueX.DeQue<float>()", "inQueueX.AllocTensor<float>()", "never written"),
    ("outQueueZ.EnQue<float>(zLocal);", "", "DeQue of an empty"),
    ("BUFFER_NUM, tileLength", "BUFFER_NUM, 400 * tileLength", "UB has 196608 bytes"),
    ("inQueueY.FreeTensor(yLocal);", "inQueueX.FreeTensor(xLocal);", "freed already"),
]
EVENT_MUTANTS = [
    ("SetFlag<HardEvent::MTE2_V>(b);", "", "nothing has set"),
    ("WaitFlag<HardEvent::MTE2_V>(b);", "", "set again|without waiting for MTE2"),
    (
        "SetFlag<HardEvent::V_MTE3>(b);\n        WaitFlag<HardEvent::V_MTE3>(b);",
        "",
        "waiting for V",
    ),
    (
        "out[2] = {ub.GetWithOffset<float>(TILE, TILE * 8)",
        "out[2] = {ub.GetWithOffset<float>(TILE, 0)",
        ".",
    ),
    ("TILE * 12)", "TILE * 16)", "of a TBuf"),
]


# A mutant costs a compilation: `make test` runs some, `make test-ascend` all.
SOME = slice(None) if os.environ.get("CANOPY_TEST_ASCEND") else slice(1, None, 5)


@pytest.mark.parametrize(("old", "new", "message"), ADD_MUTANTS[SOME])
def test_mutants_of_an_addition_are_caught(old: str, new: str, message: str) -> None:
    with pytest.raises(KernelError, match=message) as caught:
        run_add(mutant(ADD, old, new))
    assert re.match(r"add\.cpp:\d+: ", str(caught.value))


@pytest.mark.parametrize(("old", "new", "message"), EVENT_MUTANTS[SOME])
def test_mutants_of_events_are_caught(old: str, new: str, message: str) -> None:
    with pytest.raises((KernelError, AssertionError), match=message):
        run_events(mutant(EVENTS, old, new))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("Foo(zLocal, xLocal, count)", "undeclared identifier 'Foo'.*\nhint: if Foo is a call"),
        ("AscendC::Softplus(zLocal, xLocal)", "Softplus.*\nhint: if Softplus is a call"),
        ("And(zLocal, xLocal, yLocal, count)", "does not take tensors of this type"),
        ("Add(zLocal, xLocal, yLocal.ReinterpretCast<half>(), count)", "no matching function.*\n"),
        (
            "Cast(zLocal, xLocal.ReinterpretCast<int8_t>(), RoundMode::CAST_NONE, count)",
            "no conver",
        ),
        ("Add(zLocal, xLocal, count)", "no matching function for call to 'Add'"),
    ],
)
def test_wrong_calls_are_clangs_errors_at_the_line(call: str, message: str) -> None:
    source = mutant(ADD, "Add(zLocal, xLocal, yLocal, count)", call)
    line = source[: source.index(call)].count("\n") + 1
    with pytest.raises(CompileError, match=message) as caught:
        RawKernel(source, "add_custom", filename="add.cpp").compile()
    assert str(caught.value).startswith(f"add.cpp:{line}:"), str(caught.value)


def test_an_unknown_kernel_is_told_with_those_there_are() -> None:
    with pytest.raises(CompileError, match="no kernel nothing\nhint: kernels in it: add_custom"):
        RawKernel(ADD, "nothing").compile()


@pytest.mark.parametrize(
    ("blocks", "args", "message"),
    [
        (0, (None, None, None, 0, 8), "1 to 65535 blocks"),
        (1, (None, None, None, 0), "takes 5 arguments, 4 are given"),
        (1, (None, None, None, -1, 8), "-1 is out of range"),
        (1, (None, None, None, 1.5, 8), "expected an unsigned integer, got float"),
        (1, ([1.0], None, None, 1, 8), "expected an array, got list"),
        (1, (np.zeros((4, 4), np.float32)[:, ::2], None, None, 1, 8), "side by side"),
    ],
)
def test_wrong_launches(blocks: int, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        RawKernel(ADD, "add_custom", filename="add.cpp")(blocks, args)


WAITING = (
    START
    + """
extern "C" __global__ __aicore__ void waits(GM_ADDR x) {
    if (GetBlockIdx() != 1) SyncAll();
}
extern "C" __global__ __aicore__ void reads(GM_ADDR x) {
    TPipe pipe;
    TBuf<> buffer;
    pipe.InitBuffer(buffer, 64);
    LocalTensor<float> a = buffer.Get<float>();
    Duplicate(a, 1.0f, 8);
    GlobalTensor<float> g;
    g.SetGlobalBuffer((__gm__ float*)x, 1);
    g.SetValue(0, a.GetValue(0));
}
extern "C" __global__ __aicore__ void all_wait(GM_ADDR x) { SyncAll(); }
"""
)


def test_cores_that_wait_in_vain_and_scalar_reads_without_an_event() -> None:
    x = np.zeros(1, np.float32)
    with pytest.raises(KernelError, match="deadlock: SyncAll waits for cores"):
        RawKernel(WAITING, "waits", filename="w.cpp")(3, (x,))
    with pytest.raises(KernelError, match="SyncAll waits for 100 cores, and 48 run at a time"):
        RawKernel(WAITING, "all_wait", filename="w.cpp")(100, (x,))
    kernel = RawKernel(WAITING, "reads", filename="w.cpp")
    kernel(1, (x,))
    assert x[0] == 1
    assert len(kernel.notes) == 1
    assert "w.cpp:15: S reads UB without waiting for V" in kernel.notes[0]
