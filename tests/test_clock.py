"""The common beat of loops that only keep something alive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workshop.clock import to_beat

NOW = st.floats(1.7e9, 2.0e9)


@given(NOW, st.sampled_from([2.0, 5.0, 10.0]), st.sampled_from([0.0, 4.0]))
def test_a_loop_wakes_on_its_beat_and_never_twice_for_one(now: float, period: float, phase: float) -> None:
    pause = to_beat(now, period, phase)
    assert period / 10 <= pause <= 1.1 * period
    off = (now + pause - phase) % period
    assert min(off, period - off) < 1e-6


def test_after_the_first_time_a_period_each() -> None:
    assert [to_beat(at, 2.0) for at in (100.5, 101.9, 102.0, 104.001)] == [1.5, to_beat(101.9, 2.0), 2.0, 106 - 104.001]
    assert round(to_beat(101.9, 2.0), 3) == 2.1, "a timer that rang early does not ring twice"
