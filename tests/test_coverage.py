"""Do 95 % intervals hold the truth in 95 % of runs? Thousands of runs through the real estimator and statistics.

Raw readings are drawn, become joules by `analysis.joules` and intervals by `analysis.statistics` and `analysis.ratios`.
Seeds are dates, and were not chosen. 2000 runs tell a coverage of 0.95 to half a percent.
"""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from energybench.analysis.joules import window_joules
from energybench.analysis.ratios import Stage, ratio_of, total_of
from energybench.analysis.statistics import LEAST_REPLICATES, log_interval, verdict
from energybench.journal import WindowRecord
from energybench.planner import GROWTH, LEAST_WINDOWS, READINGS_A_WINDOW
from energybench.readings import ENERGY, POWER_INSTANT, Reading
from energybench.sensor import Counter, SensorProfile, Stream
from energybench.suite import Method

RUNS = 2000
WINDOWS = Method().windows
LOAD_W, ITERATION_S = 300.0, 1e-3
REFRESH_S = 0.1
NOISE = 0.01
LOW, HIGH = 0.92, 0.97


def looped(start_s, stop_s):
    iterations = round((stop_s - start_s) / ITERATION_S)
    return WindowRecord(
        number=0, kind="window", start_s=start_s, stop_s=stop_s, stamps=[(start_s, 0), (stop_s, iterations)]
    )


def share_that_holds(intervals, truth):
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.8])
def test_intervals_from_correlated_power_readings_hold_the_truth(correlation):
    """Back-to-back windows of 50 refreshes, whose noise is correlated within and between them."""
    random = np.random.default_rng(20261121)
    sensor = SensorProfile("test", "fast value", (Stream(POWER_INSTANT, REFRESH_S, 0.025),), None, "test")
    updates = READINGS_A_WINDOW + 3
    white = random.standard_normal((RUNS, WINDOWS * updates + 50))
    noise = lfilter([np.sqrt(1 - correlation**2)], [1, -correlation], white, axis=1)[:, 50:]
    shown = LOAD_W * (1 + NOISE * noise)
    times = REFRESH_S * np.arange(updates)
    window = looped(0.0, float(times[-1]))
    intervals = []
    for run in shown.reshape(RUNS, WINDOWS, updates):
        windows = [[Reading(*r) for r in zip(times, [POWER_INSTANT] * updates, values, strict=True)] for values in run]
        found = [window_joules(window, readings, sensor).energy_per_iteration_j for readings in windows]
        intervals.append(log_interval(found))
    assert LOW <= share_that_holds(intervals, LOAD_W * ITERATION_S) <= HIGH


def test_intervals_from_counter_ticks_hold_the_truth():
    """Windows at any phase of the tick; their power scatters by 0.1 %, and the polls' timing by about as much."""
    random = np.random.default_rng(20261122)
    sensor = SensorProfile("test", "counter", (), Counter(REFRESH_S), "test")
    intervals = []
    for _ in range(RUNS):
        found = []
        for _ in range(WINDOWS):
            phase_s, power_w = random.uniform(0, REFRESH_S), LOAD_W * np.exp(random.normal(0, 1e-3))
            ticks = [(phase_s, 0.0), (phase_s + 0.3, 0.3 * power_w)]
            polls = [
                (t - u, t - u + 1e-3, joules) for (t, joules), u in zip(ticks, random.uniform(0, 1e-3, 2), strict=True)
            ]
            before_j = -REFRESH_S * power_w
            readings = []
            for before_s, after_s, joules in polls:
                readings += [Reading(before_s, ENERGY, before_j), Reading(after_s, ENERGY, joules)]
                before_j = joules
            found.append(window_joules(looped(-0.1, 1.1), readings, sensor).energy_per_iteration_j)
        intervals.append(log_interval(found))
    assert LOW <= share_that_holds(intervals, LOAD_W * ITERATION_S) <= HIGH


def stopped(windows, planned, precision):
    """The runner's rule on log values (runs x windows): at which window each run stops, and its half-width there.

    Looks begin at the planned number and come every two windows, until the half-width is the wanted one or there are
    ``GROWTH`` times as many.
    """
    looks = np.arange(planned, GROWTH * planned + 1, 2)
    means = windows.cumsum(axis=1)[:, looks - 1] / looks
    squares = (windows**2).cumsum(axis=1)[:, looks - 1]
    errors = np.sqrt((squares / looks - means**2) / (looks - 1))
    halfwidths = np.sinh(stats.t.ppf(0.975, looks - 1) * errors)
    enough = halfwidths <= precision
    enough[:, -1] = True
    chosen = enough.argmax(axis=1)
    rows = np.arange(len(windows))
    return looks[chosen], means[rows, chosen], halfwidths[rows, chosen]


@pytest.mark.parametrize("spread", [0.5, 1.2, 1.7, 2.0, 2.5, 4.0])
@pytest.mark.parametrize("planned", [LEAST_WINDOWS, WINDOWS])
def test_stopping_when_the_interval_is_narrow_enough_costs_little(planned, spread):
    """For the fewest windows a plan has, and for the default.

    Args:
        planned: windows before the first look.
        spread: of the windows, in units of the wanted half-width; stopping early is worst at about 2.
    """
    random = np.random.default_rng(20261123)
    precision = 0.01
    windows = random.normal(0, spread * precision, (20 * RUNS, GROWTH * planned))
    counts, means, halfwidths = stopped(windows, planned, precision)
    # What is vectorised here is the statistics of the runs themselves.
    for run in range(20):
        interval = log_interval(np.exp(windows[run, : counts[run]]).tolist())
        assert interval.estimate == pytest.approx(np.exp(means[run]))
        assert interval.relative_halfwidth == pytest.approx(halfwidths[run])
    assert LOW <= np.mean(np.abs(means) <= np.arcsinh(halfwidths)) <= HIGH


@pytest.mark.parametrize("count", range(1, LEAST_REPLICATES + 2))
def test_fewer_than_five_windows_have_a_mean_and_no_interval(count):
    values = {block: 1.0 + 0.01 * block for block in range(count)}
    alike = [1.001 + 0.01 * ((block * 7) % 3) for block in range(count)]
    few = count < LEAST_REPLICATES
    for found in (log_interval(list(values.values())), total_of([Stage("a", 2.0, values)])):
        assert found.estimate > 0
        assert (found.high == np.inf) == few
    ratio = ratio_of(values, dict(enumerate(alike)))
    if ratio is not None:  # of five windows each two mirrored pairs are whole, which are four of them
        assert (ratio.interval.high == np.inf) == (count // 2 * 2 < LEAST_REPLICATES)
        assert verdict(ratio.interval) == "cannot tell" or count >= LEAST_REPLICATES + 1


def blocks(random, drift, spread):
    """Two variants alike in mirrored random blocks, while the board drifts: values by block."""
    order = [bool(random.integers(2)) for _ in range(WINDOWS // 2)]
    slots = [variant for first in order for variant in (first, not first, not first, first)]
    values = drift(np.arange(len(slots)) / len(slots)) * np.exp(random.normal(0, spread, len(slots)))
    by_block = ({}, {})
    for place, (variant, value) in enumerate(zip(slots, values, strict=True)):
        by_block[variant][place // 2] = float(value)
    return by_block


@pytest.mark.parametrize("spread", [0.001, 0.003])
@pytest.mark.parametrize(
    "drift",
    [lambda t: 1 + 0 * t, lambda t: 1 + 0.02 * t, lambda t: 1 - 0.05 * np.exp(-3 * t)],
    ids=["steady", "2 % linear", "5 % exponential"],
)
def test_alike_variants_do_not_differ_while_the_board_drifts(drift, spread):
    random = np.random.default_rng(20261124)
    ratios = [ratio_of(*blocks(random, drift, spread)).interval for _ in range(RUNS)]
    # 2000 runs of 4 pairs: the mean difference itself scatters by spread x sqrt(2 / 8 / 2000), at most 0.004 %.
    assert abs(np.mean([r.estimate for r in ratios]) - 1) < 2e-4
    # At most 5 % of false alarms: 2000 runs show that to half a percent (one standard error).
    assert share_that_holds(ratios, 1.0) >= 0.94
