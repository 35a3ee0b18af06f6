"""The native launcher: what each kind of argument becomes, what is refused, what may alias."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from canopy.errors import KernelError, LaunchError
from canopy.runtime import launch_errors, make_launcher
from canopy.runtime.native_library import native

from .conftest import Kernels  # noqa: TID252


def slots_of(kernels: Kernels, kinds: str, *args: Any) -> list[int]:
    """The slots that a kernel of these kinds gets, the may_alias slot last."""
    make_launcher(kernels.capture, 0, kinds.encode())(1, 1, 1, *args)
    return kernels.captured(len(kinds.replace("c", "")) + 1)


def may_alias(kernels: Kernels, kinds: str, *args: Any) -> int:
    return slots_of(kernels, kinds, *args)[-1]


def bits(form: str, value: float) -> int:
    return int.from_bytes(struct.pack(form, value), "little")


@pytest.mark.parametrize(
    ("kind", "value", "slot"),
    [
        ("k", -128, 2**64 - 128),
        ("K", 255, 255),
        ("s", -1, 2**64 - 1),
        ("S", 65535, 65535),
        ("i", -5, 2**64 - 5),
        ("I", 2**32 - 1, 2**32 - 1),
        ("i", True, 1),
        ("i", np.int64(7), 7),
        ("l", -(2**63), 2**63),
        ("L", 2**64 - 1, 2**64 - 1),
        ("L", np.uint64(2**63), 2**63),
        ("b", True, 1),
        ("b", 0, 0),
        ("b", np.bool_(True), 1),
        ("f", 1.5, bits("<f", 1.5)),
        ("f", 3, bits("<f", 3.0)),
        ("f", np.float32(0.1), bits("<f", np.float32(0.1))),
        ("d", -0.1, bits("<d", -0.1)),
        ("h", 0.1, bits("<e", 0.1)),
        ("e", -65504.0, bits("<e", -65504.0)),
        ("y", 1.0, 0x3F80),
        ("P", None, 0),
        ("P", 0x1234, 0x1234),
        ("P", 2**64 - 1, 2**64 - 1),
    ],
)
def test_scalars(kernels: Kernels, kind: str, value: object, slot: int) -> None:
    assert slots_of(kernels, kind, value)[0] == slot


@pytest.mark.parametrize(
    ("kind", "value", "error", "text"),
    [
        ("i", 2**31, ValueError, "argument 1: 2147483648 does not fit into i32"),
        ("I", -1, ValueError, "argument 1: -1 does not fit into u32"),
        ("k", 128, ValueError, "argument 1: 128 does not fit into i8"),
        ("l", 2**63, ValueError, "does not fit into i64"),
        ("L", -1, ValueError, "does not fit into u64"),
        ("L", 2**64, ValueError, "does not fit into u64"),
        ("i", 1.0, TypeError, "argument 1: expected an integer, got float"),
        ("L", "x", TypeError, "argument 1: expected an integer, got str"),
        ("f", "x", TypeError, "argument 1: expected a float, got str"),
        ("b", None, TypeError, "argument 1: expected a bool, got NoneType"),
        ("P", "x", TypeError, "argument 1: expected a tensor, an array, None or an .* got str"),
        ("P", 1.0, TypeError, "got float"),
        ("P", True, TypeError, "got bool"),
        ("P", -1, ValueError, "argument 1: -1 is not an address"),
    ],
)
def test_wrong_arguments(
    kernels: Kernels, kind: str, value: object, error: type[Exception], text: str
) -> None:
    launcher = make_launcher(kernels.nothing, 0, b"i" + kind.encode())
    with pytest.raises(error, match=text):
        launcher(1, 1, 1, 0, value)


@pytest.mark.parametrize(
    ("grid", "error"),
    [
        ((-1, 1, 1), ValueError),
        ((1, 2**31, 1), ValueError),
        ((1, 1, 2**70), ValueError),
        ((2**31 - 1,) * 3, ValueError),
        ((1, 1.0, 1), TypeError),
    ],
)
def test_wrong_grids(kernels: Kernels, grid: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="grid"):
        make_launcher(kernels.nothing, 0, b"")(*grid)


def test_an_empty_grid_runs_nothing(kernels: Kernels) -> None:
    launcher = make_launcher(kernels.fail_at, 0, b"i")
    launcher(0, 1, 1, 0)
    launcher(5, 0, 5, 0)


def test_the_number_of_arguments_is_checked(kernels: Kernels) -> None:
    launcher = make_launcher(kernels.nothing, 0, b"ici", "add_kernel")
    with pytest.raises(TypeError, match=r"add_kernel: expected .* 3 arguments, got 4 values"):
        launcher(1, 1, 1, 5)
    with pytest.raises(TypeError, match="add_kernel"):
        launcher()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="keyword"):
        launcher(1, 1, 1, 5, 6, x=7)  # type: ignore[call-arg]


def test_constexprs_take_no_slot(kernels: Kernels) -> None:
    assert slots_of(kernels, "cici", object(), 3, "text", 4) == [3, 4, 0]


def test_unknown_kinds_are_refused(kernels: Kernels) -> None:
    with pytest.raises(ValueError, match="argument 1: 'q' is no argument kind"):
        make_launcher(kernels.nothing, 0, b"iq")


def test_a_failure_carries_its_code(kernels: Kernels) -> None:
    launcher = make_launcher(kernels.fail_at, 0, b"i", "doomed")
    with pytest.raises(native.KernelFailure, match="doomed failed with code 7") as raised:
        launcher(4, 1, 1, 2)
    assert (raised.value.code, raised.value.kernel) == (7, "doomed")
    with pytest.raises(KernelError, match="code 7"), launch_errors("doomed"):
        launcher(4, 1, 1, 2)
    with pytest.raises(LaunchError, match="doomed: argument 0"), launch_errors("doomed"):
        launcher(4, 1, 1, "x")


def test_the_launcher_keeps_its_code_alive(kernels: Kernels) -> None:
    import gc
    import weakref

    class Code:
        pass

    code = Code()
    alive = weakref.ref(code)
    launcher = make_launcher(kernels.nothing, 0, b"", keep=code)
    del code
    gc.collect()
    assert alive() is not None
    del launcher
    gc.collect()
    assert alive() is None


def test_timing_counts_launches_only_when_asked(kernels: Kernels) -> None:
    launcher = make_launcher(kernels.nothing, 0, b"")
    native.set_timing(False)  # a front-end that ran before in this process may have asked
    launcher(1, 1, 1)
    assert (launcher.launches, launcher.total_ns) == (0, 0)
    native.set_timing(True)
    launcher(4, 1, 1)
    launcher(4, 1, 1)
    native.set_timing(False)
    assert launcher.launches == 2
    assert launcher.total_ns > 0


class TestNumpy:
    def test_address_and_views(self, kernels: Kernels) -> None:
        x = np.zeros((4, 6), np.float32)
        assert slots_of(kernels, "P", x[1:, ::-2])[0] == x[1:, ::-2].ctypes.data

    def test_read_only(self, kernels: Kernels) -> None:
        x = np.zeros(4)
        x.flags.writeable = False
        slots_of(kernels, "P", x)
        with pytest.raises(ValueError, match=r"argument 0: .* read-only"):
            slots_of(kernels, "W", x)

    def test_aliasing(self, kernels: Kernels) -> None:
        x, y = np.zeros(100), np.zeros(100)
        assert may_alias(kernels, "PW", x, y) == 0
        assert may_alias(kernels, "PW", x, x) == 1
        assert may_alias(kernels, "PW", x[:10], x[90:]) == 1
        assert may_alias(kernels, "PW", x[::-1], y[::-1]) == 0
        assert may_alias(kernels, "PW", x.reshape(10, 10).T[2:], x) == 1
        assert may_alias(kernels, "PP", x, x) == 0
        assert may_alias(kernels, "W", x) == 0
        assert may_alias(kernels, "WPP", y, x, x) == 0
        assert may_alias(kernels, "PWP", x, y, x[3:]) == 0
        assert may_alias(kernels, "WW", x, x[3:]) == 1
        assert may_alias(kernels, "PWP", None, y, x) == 0

    def test_unknown_origin_may_alias_everything(self, kernels: Kernels) -> None:
        x = np.zeros(100)
        assert may_alias(kernels, "PW", x, x.ctypes.data + 4096) == 1
        borrowed = np.frombuffer(bytearray(800))
        assert may_alias(kernels, "PW", x, borrowed) == 1

    def test_interface_objects(self, kernels: Kernels) -> None:
        class Holder:
            def __init__(self, array: np.ndarray) -> None:
                self.array = array

            @property
            def __array_interface__(self) -> dict[str, Any]:
                return self.array.__array_interface__

        x = np.zeros(3)
        assert slots_of(kernels, "P", Holder(x))[0] == x.ctypes.data


class TestTorch:
    def test_address_and_aliasing(self, kernels: Kernels) -> None:
        torch = pytest.importorskip("torch")
        x, y = torch.zeros(100), torch.zeros(100)
        assert slots_of(kernels, "P", x[7:])[0] == x.data_ptr() + 28
        assert may_alias(kernels, "PW", x, y) == 0
        assert may_alias(kernels, "PW", x, x) == 1
        assert may_alias(kernels, "PW", x[:10], x[90:]) == 1
        assert may_alias(kernels, "PW", x.view(10, 10).t(), x.detach()) == 1
        assert may_alias(kernels, "PWP", x, y, x) == 0
        assert may_alias(kernels, "PW", torch.zeros(0), y) == 0

    def test_shared_with_numpy(self, kernels: Kernels) -> None:
        torch = pytest.importorskip("torch")
        x, z = np.zeros(100), np.zeros(100)
        assert may_alias(kernels, "PW", torch.from_numpy(x), x[50:]) == 1
        assert may_alias(kernels, "PW", torch.from_numpy(x), z) == 0
        y = torch.zeros(100)
        assert may_alias(kernels, "PW", y.numpy()[50:], y) == 1
        assert may_alias(kernels, "PW", y.numpy(), x) == 0

    def test_subclasses_and_wrappers(self, kernels: Kernels) -> None:
        torch = pytest.importorskip("torch")

        class Redirected(torch.Tensor):  # type: ignore[misc]
            @property
            def device(self) -> object:
                return torch.device("cuda")

        class Wrapper:
            def __init__(self, base: object) -> None:
                self.base = base

            def data_ptr(self) -> int:
                return int(self.base.data_ptr())  # type: ignore[attr-defined]

        class Foreign:
            def data_ptr(self) -> int:
                return int(y.data_ptr())

        x, y = torch.zeros(100), torch.zeros(100)
        redirected = x.as_subclass(Redirected)
        assert slots_of(kernels, "P", redirected)[0] == x.data_ptr()
        assert may_alias(kernels, "PW", redirected, y) == 0
        assert may_alias(kernels, "PW", redirected, x) == 1
        assert may_alias(kernels, "PW", Wrapper(x), y) == 0
        assert may_alias(kernels, "PW", Wrapper(x), x) == 1
        assert may_alias(kernels, "PW", x, Foreign()) == 1

    def test_tensors_elsewhere(self, kernels: Kernels) -> None:
        torch = pytest.importorskip("torch")
        launcher = make_launcher(kernels.nothing, 0, b"iP")
        with pytest.raises(ValueError, match=r"argument 1: .* device 'meta'"):
            launcher(1, 1, 1, 0, torch.empty(4, device="meta"))
        checking = make_launcher(kernels.nothing, 0, b"iP", check_device=True)
        with pytest.raises(ValueError, match=r"argument 1: .* device 'meta'"):
            checking(1, 1, 1, 0, torch.empty(0, device="meta"))
        checking(1, 1, 1, 0, torch.zeros(4))
        launcher(1, 1, 1, 0, torch.zeros(0))

    @pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
    def test_fake_tensors(self, kernels: Kernels) -> None:
        torch = pytest.importorskip("torch")
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode():
            fake = torch.zeros(4)
        with pytest.raises(ValueError, match="argument 0"):
            make_launcher(kernels.nothing, 0, b"P")(1, 1, 1, fake)

    def test_integer_tensors_as_scalars(self, kernels: Kernels) -> None:
        torch = pytest.importorskip("torch")
        assert slots_of(kernels, "i", torch.tensor(5))[0] == 5
