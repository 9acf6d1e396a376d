"""Measuring begins when power and temperature stand still, and says so where they never did."""

import math

import numpy as np
import pytest
from quiet import measured

from energybench.analysis.rest import rest_of
from energybench.analysis.summary import summarize
from energybench.journal import load
from energybench.machine import load_machine
from energybench.readings import ENERGY, POWER_INSTANT, Reading
from energybench.report.method import method_words


def counted(slope_per_s, length_s=12.0):
    """A 100 ms counter polled every 50 ms, of a board whose power changes by ``slope_per_s`` of its mean."""
    readings = []
    for time_s in np.arange(0.0, length_s, 0.05) + 0.013:
        tick_s = math.floor(time_s / 0.1) * 0.1
        since_s = tick_s - length_s / 2
        readings.append(Reading(float(time_s), ENERGY, 5000 + 300 * (since_s + 0.5 * slope_per_s * since_s**2)))
    return readings


@pytest.mark.parametrize("slope_per_s", [0.0, 5e-4, -5e-4, 2e-3, -2e-3])
def test_the_slope_of_coarsely_polled_ticks_is_found(slope_per_s):
    rest = rest_of(counted(slope_per_s), [], 0.0, 12.0, 0.01)
    assert rest.slope_per_s == pytest.approx(slope_per_s, rel=0.05, abs=2e-5)
    assert rest.steady == (abs(slope_per_s) <= 1e-3)


def test_half_the_precision_asks_for_half_the_slope():
    readings = counted(8e-4)
    assert rest_of(readings, [], 0.0, 12.0, 0.01).steady
    assert not rest_of(readings, [], 0.0, 12.0, 0.005).steady


@pytest.mark.parametrize(
    ("degrees", "steady"), [((50, 50), True), ((50, 51), True), ((50, 52), False), ((52, 50), False)]
)
def test_temperature_may_change_by_a_degree_in_ten_seconds(degrees, steady):
    temperatures = [(2.0, degrees[0]), (12.0, degrees[1])]
    assert rest_of(counted(0.0), temperatures, 0.0, 12.0, 0.01).steady == steady


def test_a_degree_in_five_seconds_is_two_in_ten():
    assert not rest_of(counted(0.0), [(7.0, 50), (11.9, 51)], 7.0, 12.0, 0.01).steady


def test_what_came_before_the_last_ten_seconds_does_not_count():
    readings = [Reading(0.1 * i, POWER_INSTANT, 300 + (i % 2) - 20 * math.exp(-0.1 * i)) for i in range(200)]
    assert not rest_of(readings, [], 0.0, 10.0, 0.01).steady
    assert rest_of(readings, [], 0.0, 20.0, 0.01).steady


def test_power_that_cannot_be_followed_is_not_steady():
    assert not rest_of([], [], 0.0, 10.0, 0.01).steady


def settling(folder):
    return next(w for w in load(folder).windows if w.kind == "settle")


def test_a_steady_board_is_measured_after_five_seconds(tmp_path):
    folder, _ = measured(tmp_path)
    window = settling(folder)
    assert 5 <= window.stop_s - window.start_s < 7
    summary = summarize(load(folder))
    assert not summary.cases["flags"].str.contains(r"\bunsettled\b").any()
    assert any("stood still after" in words for words in method_words(summary))


def test_a_warming_board_is_waited_for(tmp_path):
    """Its temperature comes to rest with e^(-t / 15 s); it changes by a degree in 10 s when 2 degrees are missing."""
    folder, _ = measured(tmp_path, device="sim:h200,warming=0.1,warming_s=15")
    run = load(folder)
    window, machine = settling(folder), load_machine("h200")
    truth_w = run.record.truth[window.work]["power_w"]
    rise_c = 45 * (truth_w - machine.idle_w) / (machine.tdp_w - machine.idle_w)
    # 1 degree in 10 s with a degree's rounding at each end: between 0.5 and 2 degrees of true change, so that
    # rise x e^(-t/15) x (e^(10/15) - 1) lies between them at the end.
    left_c = rise_c * math.exp(-(window.stop_s - window.start_s) / 15) * math.expm1(10 / 15)
    assert left_c <= 2.0
    assert window.stop_s - window.start_s < 60
    assert not summarize(run).cases["flags"].str.contains(r"\bunsettled\b").any()


def test_a_board_that_never_stands_still_is_measured_after_two_minutes_and_every_row_says_so(tmp_path):
    folder, _ = measured(tmp_path, device="sim:h200,drift_per_s=0.005", settings={"channels": [32]})
    window = settling(folder)
    assert 120 <= window.stop_s - window.start_s < 122
    summary = summarize(load(folder))
    assert summary.cases["flags"].str.contains(r"\bunsettled\b").all()
    assert any("did not stand still" in words for words in method_words(summary))
