"""Every benchmark runs at a tiny size and gives right results; so does what it is held against."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

from benchmarks import limits  # noqa: E402
from benchmarks.harness import CASES, Contest, SkippedError, check_results  # noqa: E402
from benchmarks.registry import load_cases  # noqa: E402

load_cases()


@pytest.mark.parametrize("subject", CASES, ids=lambda subject: subject.name)
def test_case_is_right_at_a_tiny_size(subject, monkeypatch: pytest.MonkeyPatch):
    # Compiling numba and Inductor takes longer than all else; measuring checks their results.
    monkeypatch.setattr(Contest, "add_peer", lambda *_: None)
    try:
        contest = subject.contest(tiny=True)
    except SkippedError as reason:
        pytest.skip(str(reason))
    assert len(check_results(contest)) == len(contest.contestants)


@pytest.mark.parametrize("count", [0, 1, 65_536, 200_003])
def test_limits_do_what_they_say(count: int):
    a, b = torch.rand(count), torch.rand(count)
    whole = count * 4 // limits.CHUNK_BYTES * limits.CHUNK_BYTES // 4
    copied, summed = torch.zeros(count), torch.zeros(count)
    limits.copy(copied, a)
    limits.triad(summed, a, b)
    torch.testing.assert_close(copied[:whole], a[:whole], rtol=0, atol=0)
    torch.testing.assert_close(summed[:whole], (a + 3 * b)[:whole])
    assert not copied[whole:].any()
    assert not summed[whole:].any()
