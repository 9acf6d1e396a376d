"""When the counter ticks next: chains of ticks, misses, and what that is worth to the polls of a window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.runner.pace import LEAD_S, LEAST_PERIOD_S, WIDEST, Pace

SHARP_S = 5e-5


@given(period_s=st.floats(0.01, 0.6), off=st.floats(-0.01, 0.01), jitter_s=st.floats(0, 2e-4), seed=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_a_counter_that_keeps_a_pace_is_met_within_the_lead(period_s, off, jitter_s, seed):
    """Known to 1 % at first, seen now and then, with jitter: every prediction is right, and soon there is one."""
    chance = np.random.default_rng(seed)
    pace, at = Pace(period_s * (1 + off)), 0
    for number in range(60):
        at += int(chance.integers(1, 4)) if number < 10 else int(chance.integers(1, 20))
        tick_s = 5.0 + at * period_s + jitter_s * chance.uniform(-1, 1)
        expected = pace.next_tick(tick_s - 0.5 * period_s)
        if expected is not None:
            assert expected.time_s == pytest.approx(tick_s, abs=expected.lead_s)
        if number > 10:
            assert expected.lead_s < 1.5 * LEAD_S
        pace.saw(tick_s, SHARP_S)


def test_the_next_tick_is_one_that_can_still_be_polled_for():
    pace = Pace(0.1)
    assert pace.next_tick(3.0) is None
    pace.saw(3.0, SHARP_S)
    assert pace.next_tick(3.05).time_s == pytest.approx(3.1)
    assert pace.next_tick(3.1 - 0.5 * LEAD_S).time_s == pytest.approx(3.2)  # polling would have begun already


def test_a_period_from_two_blunt_ticks_is_not_trusted_for_a_tick_far_ahead():
    """Two ticks a period apart, each timed to a millisecond: a second later the tick may be 20 ms off."""
    pace = Pace(0.1)
    pace.saw(3.0, 1e-3)
    pace.saw(3.101, 1e-3)
    assert pace.next_tick(3.15).lead_s == pytest.approx(LEAD_S + 1e-3 + 2e-3)
    assert pace.next_tick(4.15) is None


def test_misses_widen_the_lead_until_the_tick_is_searched_anew():
    pace, misses = Pace(0.1), 0
    pace.saw(3.0, SHARP_S)
    pace.saw(3.1, SHARP_S)
    pace.saw(4.0, SHARP_S)
    while (expected := pace.next_tick(4.1)) is not None:
        assert expected.lead_s >= LEAD_S * 2**misses
        pace.missed()
        misses += 1
    assert LEAD_S * 2 ** (misses - 1) < WIDEST * 0.1 < 1.5 * LEAD_S * 2**misses
    pace.saw(4.23, SHARP_S)
    pace.saw(4.33, SHARP_S)
    assert pace.next_tick(4.35).time_s == pytest.approx(4.43)


def test_a_tick_off_the_chain_begins_a_new_one():
    pace = Pace(0.1)
    for tick_s in (3.0, 3.1, 3.2, 3.25):  # the driver was reloaded in between
        pace.saw(tick_s, SHARP_S)
    assert pace.next_tick(3.26).time_s == pytest.approx(3.35)


def test_fast_ticks_are_searched():
    pace = Pace(0.5 * LEAST_PERIOD_S)
    pace.saw(1.0, SHARP_S)
    assert pace.next_tick(1.0) is None
