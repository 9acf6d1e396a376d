"""A counter that keeps a rhythm times its own stretches; of one that does not, no more is claimed than polls show."""

import numpy as np
import pytest
from accuracy.irregular import LOAD_W, SENSOR, Board, errors
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.analysis.rhythm import Tick, fit_rhythm, in_spans
from energybench.analysis.stretches import counter_stretch
from energybench.journal import WindowRecord


def judged(board):
    """The rhythm, and of each window: relative error of the polls' length, of the rhythm's, and its half-width."""
    windows = board.windows()
    rhythm = fit_rhythm([ticks for ticks, _ in windows])
    rows = []
    for ticks, true_s in windows:
        if len(ticks) < 2:
            continue
        length_s = true_s[-1] - true_s[0]
        polled = (ticks[-1].time_s - ticks[0].time_s) / length_s - 1
        found = rhythm.length_s(ticks[0], ticks[-1]) if rhythm else None
        rows.append((polled, found[0] / length_s - 1, found[1] / length_s) if found else (polled, np.nan, np.nan))
    return rhythm, np.array(rows)


@pytest.mark.parametrize("period_s", [0.1, 0.1037, 0.02])
def test_a_regular_counter_times_its_stretches_a_hundred_times_better_than_polls(period_s):
    rhythm, rows = judged(Board(1, period_s=period_s))
    assert rhythm.low_s <= period_s <= rhythm.high_s
    polled, found = np.sqrt(np.mean(rows[:, 0] ** 2)), np.sqrt(np.nanmean(rows[:, 1] ** 2))
    # Each end is a millisecond open, and some four: over 0.3 to 0.4 s, 0.1 to 0.4 %.
    assert 1e-3 < polled < 6e-3
    assert found < polled / 100
    assert np.isfinite(rows[:, 1]).mean() > 0.9


@pytest.mark.parametrize("jitter_s", [0.0, 3e-5, 1e-4, 3e-4])
def test_what_is_claimed_holds_however_irregular_the_ticks_are(jitter_s):
    held = total = 0
    for seed in range(25):
        _, rows = judged(Board(seed, jitter_s=jitter_s))
        known = np.isfinite(rows[:, 1])
        held += np.count_nonzero(np.abs(rows[known, 1]) <= rows[known, 2])
        total += np.count_nonzero(known)
    assert total > 200
    # Errors of one board are correlated, so no binomial bound; but 95 % that hold in under 90 % would be false.
    assert held / total > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_ticks_without_a_rhythm_have_none(seed):
    random = np.random.default_rng(seed)
    board = Board(seed)
    board.times_s = np.cumsum(random.exponential(0.1, 900))
    assert fit_rhythm([ticks for ticks, _ in board.windows()]) is None
    assert fit_rhythm([ticks for ticks, _ in Board(seed, jitter_s=2e-3).windows()]) is None
    assert fit_rhythm([]) is None
    assert fit_rhythm([Board(seed).seen(1.0, 2.0)[0]]) is None, "two sharp ticks show no rhythm"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 30), st.floats(0, 0.2)), max_size=12).map(sorted), min_size=1, max_size=12
    ),
    st.integers(0, 3),
)
def test_no_ticks_whatever_break_the_fit_and_what_is_found_is_a_range(groups, copies):
    groups = groups * (1 + copies)  # the same moments again: brackets of no width, several ticks at once
    rhythm = fit_rhythm([[Tick(t, t + width, 1.0) for t, width in group] for group in groups])
    assert rhythm is None or 0 < rhythm.low_s <= rhythm.high_s < np.inf


def test_lost_ticks_and_polls_slower_than_the_counter_do_not_hide_a_rhythm():
    assert judged(Board(3, lost=0.2))[0].period_s == pytest.approx(0.1, rel=1e-4)
    board = Board(4, period_s=0.0097)
    groups = []
    for ticks, _ in board.windows():
        between = [Tick(t - 0.0103, t, 0.0) for t in np.arange(ticks[0].after_s, ticks[-1].before_s, 0.0103)[1:]]
        groups.append([ticks[0], *between, ticks[-1]])  # polled every 10.3 ms: some ticks fall together
    assert fit_rhythm(groups).period_s == pytest.approx(0.0097, rel=1e-4)


def test_a_tick_that_came_late_times_no_stretch():
    board = Board(5)
    rhythm = fit_rhythm([ticks for ticks, _ in board.windows()])
    ticks, _ = board.seen(60.0, 61.0)
    late = Tick(ticks[-1].before_s + 0.02, ticks[-1].after_s + 0.02, ticks[-1].value)
    assert rhythm.length_s(ticks[0], ticks[-1]) is not None
    assert rhythm.length_s(ticks[0], late) is None
    blurred = Tick(ticks[-1].before_s - 0.11, ticks[-1].after_s + 0.01, ticks[-1].value)
    assert rhythm.length_s(ticks[0], blurred) is None, "it may be either of two ticks"


def test_a_stretch_takes_the_rhythms_length_and_says_how_well_it_is_known():
    board = Board(6)
    window = WindowRecord(number=0, kind="window", stamps=[(40.0, 0), (41.0, 1000)])
    rhythm = fit_rhythm([ticks for ticks, _ in board.windows()])
    polled = counter_stretch(window, board.readings(40.0, 41.0), SENSOR)
    found = counter_stretch(window, board.readings(40.0, 41.0), SENSOR, rhythm)
    assert found.power_w == pytest.approx(LOAD_W, rel=2e-5)
    assert abs(found.power_w / LOAD_W - 1) <= found.edge_halfwidth < polled.edge_halfwidth
    assert found.stop_s - found.start_s == pytest.approx(round(found.stop_s - found.start_s, 1), rel=1e-4)


def test_sessions_and_minutes_have_rhythms_of_their_own():
    windows = [WindowRecord(number=n, kind="window", session=n // 3, start_s=25.0 * (n % 3)) for n in range(6)]
    windows.append(WindowRecord(number=6, kind="window", session=1, start_s=70.0))
    assert [[w.number for w in span] for span in in_spans(windows)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_irregular_ticks_are_timed_no_worse_than_by_the_polls():
    for jitter_s, times in ((0.0, 50.0), (1e-4, 2.0), (1e-3, 0.999)):
        polled, said = errors(jitter_s, 0.5, boards=2)
        assert said < polled / times
