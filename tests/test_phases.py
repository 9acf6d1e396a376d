"""Part-time sensors and long iterations: what the phases leave open, and how a run visits them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quiet import Remembering

from energybench.analysis.guards import alias_bias_w
from energybench.analysis.phases import uncovered
from energybench.analysis.summary import summarize
from energybench.analysis.wave import Wave
from energybench.devices.board import Unsteadiness
from energybench.devices.open import Watch
from energybench.devices.simulated import SimulatedDevice
from energybench.devices.truth import work_truth
from energybench.journal import load
from energybench.meters.simulated import SimulatedMeter
from energybench.report.guards import guard_words
from energybench.runner.window import bit_reversed
from energybench.sensor import PROFILES
from energybench.session import RunOptions, Station, plan_study, run_study
from energybench.suite import expand, parse_suite
from energybench.workload import plan_workload


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.8, 1.3, 12.5, 25.0])
def test_one_phase_leaves_at_most_what_the_bound_says(share):
    """The bound's d (1 - d) p / W, at most one half, where the overlap of span and half is not simpler still."""
    bound = alias_bias_w(1.0, 1.0, share)
    assert uncovered([[0.3]], share) <= bound + 1e-12
    assert uncovered([], share) == pytest.approx(uncovered([[0.0]], share))
    if share <= 0.5 or share > 1:
        assert uncovered([[0.3]], share) == pytest.approx(bound)


def test_phases_that_tile_the_iteration_leave_nothing_open():
    assert uncovered([[0.0], [0.25], [0.5], [0.75]], 0.25) == pytest.approx(0.0, abs=1e-12)
    assert uncovered([[0.1, 0.35, 0.6, 0.85]], 0.25) == pytest.approx(0.0, abs=1e-12)


@given(
    st.lists(st.lists(st.floats(0.0, 0.999), min_size=1, max_size=6), min_size=1, max_size=5),
    st.floats(0.02, 0.98),
    st.floats(0.0, 0.999),
)
def test_no_half_of_an_iteration_is_misjudged_by_more_than_is_left_open(phases, share, high_from):
    starts = np.arange(-3.0, 5.0)
    wave = Wave(starts + high_from, starts + high_from + 0.5)
    means = [wave.share(np.array(window), np.array(window) + share).mean() for window in phases]
    assert abs(np.mean(means) - 0.5) <= uncovered(phases, share) + 1e-9


def test_starts_are_spread_evenly():
    assert [bit_reversed(i) for i in range(8)] == [0, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]


TEXT = """
name: long
baseline: one
variants:
  one: {layer: "torch.nn:Conv2d", args: {in_channels: 64, out_channels: 64, kernel_size: 3, padding: 1}}
input: [$batch, 64, 32, 32]
axes:
  batch: [BATCH]
  dtype: [float16]
"""


def batch_of(device, iteration_s):
    """The batch of an iteration that takes this long on a simulated board."""

    def latency_s(batch):
        (case,), _ = expand(parse_suite(TEXT.replace("BATCH", str(batch))))
        return work_truth(plan_workload(case).operators, device.machine).latency_s

    each_s = (latency_s(4000) - latency_s(2000)) / 2000
    return round((iteration_s - latency_s(2000)) / each_s) + 2000


def looked_at(tmp_path, iteration_s):
    """A board that draws more in the first half of every iteration, watched by a counter that sees a quarter."""
    device = SimulatedDevice("a100-sxm4-80gb", unsteady=Unsteadiness(ripple=0.5))
    profile = PROFILES["a100-part-time-counter"]
    meter = SimulatedMeter(device.clock, device.power.energy_j, profile, seed=3)
    station = Station(device, Watch(meter, meter.probe(), profile), ())
    options = RunOptions(results=tmp_path)
    study = plan_study(parse_suite(TEXT.replace("BATCH", str(batch_of(device, iteration_s)))), station, options)
    summary = summarize(load(run_study(study, station, options, Remembering())))
    (row,) = summary.cases.to_dict("records")
    assert row["loop_latency_s"] == pytest.approx(iteration_s, rel=3e-3)
    true_w = summary.run.record.truth[row["work"]]["power_w"]
    return summary, row, true_w


@pytest.mark.parametrize("iteration_s", [0.05, 0.1])
def test_iterations_in_step_with_the_sensor_are_looked_at_from_all_sides(tmp_path, iteration_s):
    """Each window sees one phase and errs by tens of percent; evenly spread starts take that out of their mean."""
    summary, row, true_w = looked_at(tmp_path, iteration_s)
    each = summary.windows["power_w"]
    assert each.max() / each.min() > 1.3
    assert abs(row["power_w"] / true_w - 1) < 0.1
    assert abs(row["power_w"] / true_w - 1) <= row["alias_bound"] + 0.01  # noise of the readings
    # One phase would leave half of the swing: (1 - idle / power) / 2.
    assert row["alias_bound"] < 0.25 * (1 - row["idle_w"] / row["power_w"]) / 2
    assert ("alias" in row["flags"].split()) == (row["alias_bound"] > 0.01)
    assert any("sees 25 % of the time" in words for words in guard_words(summary))


def test_short_iterations_need_no_sweep(tmp_path):
    _, row, true_w = looked_at(tmp_path, 0.5e-3)
    assert row["power_w"] == pytest.approx(true_w, rel=5e-3)
    assert row["alias_bound"] < 0.01
    assert "alias" not in row["flags"].split()
    assert math.isfinite(row["relative_halfwidth"])
