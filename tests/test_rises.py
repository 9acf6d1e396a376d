"""A rise out of place is found however small, and steady counters, drifts and late ticks raise no alarm."""

import numpy as np
import pytest

from energybench.analysis.rhythm import Tick
from energybench.analysis.rises import out_of_place, rises_of

POWER_W, PERIOD_S = 250.0, 0.1
SHARP_S, COARSE_S = 1e-3, 0.05
WINDOWS, TICKS = 8, 11


def window(random, *, jitter_s=0.0, noise=0.0, lost=0.0, drift=0.0, jump_j=0.0, at=0, ticks=TICKS, iteration_s=1e-3):
    """Rises of one window: ticks seen sharply at both ends, by coarse polls in between; a jump is in rise ``at``."""
    times_s = PERIOD_S * (random.random() + np.arange(ticks)) + random.normal(0, jitter_s, ticks)
    powers_w = POWER_W * (1 + noise * random.standard_normal(ticks - 1) + drift * np.linspace(-0.5, 0.5, ticks - 1))
    joules = np.concatenate([[0.0], np.cumsum(np.diff(times_s) * powers_w)])
    joules[at + 1 :] += jump_j
    kept = random.random(ticks) >= lost
    kept[[0, -1]] = True
    seen = []
    for k in np.flatnonzero(kept):
        width_s = SHARP_S if k in (0, ticks - 1) else COARSE_S
        before_s = float(times_s[k] - random.random() * width_s)
        seen.append(Tick(before_s, before_s + width_s, float(joules[k])))
    return rises_of(seen, PERIOD_S, PERIOD_S, iteration_s)


@pytest.mark.parametrize("ticks", [TICKS, 4])
@pytest.mark.parametrize(
    "unsteady",
    [{}, {"jitter_s": 1e-3}, {"jitter_s": 3e-3}, {"noise": 0.01}, {"lost": 0.1}, {"noise": 0.05}, {"drift": 0.05}],
    ids=str,
)
def test_steady_windows_raise_no_alarm(unsteady, ticks):
    random = np.random.default_rng(20261129)
    alarms = 0
    for _ in range(150):
        alarms += sum(map(bool, out_of_place([window(random, ticks=ticks, **unsteady) for _ in range(WINDOWS)])))
    assert alarms <= 2, "over 2 of 1200 windows"


@pytest.mark.parametrize("at", [0, 4, 9])
@pytest.mark.parametrize("jump_j", [-22, -15, -8, -5, -2, 2, 5, 8, 15, 22])
def test_a_jump_is_found_in_any_rise_and_names_no_other_window(jump_j, at):
    random = np.random.default_rng(1)
    windows = [window(random, noise=1e-3) for _ in range(WINDOWS - 1)]
    said = out_of_place([*windows, window(random, noise=1e-3, jump_j=jump_j, at=at)])
    assert said[-1]
    assert not any(said[:-1])


def test_short_windows_are_judged_by_each_other():
    random = np.random.default_rng(2)
    windows = [window(random, ticks=4, noise=1e-3) for _ in range(WINDOWS - 1)]
    said = out_of_place([*windows, window(random, ticks=4, noise=1e-3, jump_j=5.0, at=2)])
    assert [bool(words) for words in said] == [False] * (WINDOWS - 1) + [True]


def test_jumps_in_several_windows_do_not_hide_each_other():
    random = np.random.default_rng(3)
    jumps_j = (8.0, 0.0, -8.0, 0.0, 8.0, 0.0, 22.0, 0.0)
    said = out_of_place([window(random, noise=1e-3, jump_j=j, at=n) for n, j in enumerate(jumps_j)])
    assert [bool(words) for words in said] == [j != 0 for j in jumps_j]


def test_where_an_iteration_lasts_as_long_as_a_tick_its_phases_are_no_jump():
    random = np.random.default_rng(4)
    windows = [window(random, iteration_s=PERIOD_S) for _ in range(WINDOWS - 1)]
    assert not any(out_of_place([*windows, window(random, iteration_s=PERIOD_S, jump_j=8.0, at=5)]))
