"""analysis/power_stretch.py: what power readings leave open is what they are off by."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from energybench.analysis.joules import WindowJoules, window_joules
from energybench.analysis.power_stretch import FEWEST_READINGS, power_stretch
from energybench.analysis.stretches import EDGE_LIMIT, MIN_READINGS
from energybench.journal import WindowRecord
from energybench.readings import POWER, POWER_AVERAGE, Reading
from energybench.sensor import ASSUMED, PROFILES, SensorProfile, SimulatedSensor, Stream

DRAWS = 2000
LOAD_W, IDLE_W, ITERATION_S = 300.0, 60.0, 1e-3
STREAM = Stream(POWER, 0.1, 0.1, noise=0.01, correlation=0.3)


def board(stream: Stream, provenance: str = "calibrated") -> SensorProfile:
    return SensorProfile("test", "no counter", (stream,), None, "test", provenance=provenance)


def looped(length_s: float, iteration_s: float = ITERATION_S) -> WindowRecord:
    stamps = [(0.0, 0), (length_s, round(length_s / iteration_s))]
    return WindowRecord(number=0, kind="window", start_s=0.0, stop_s=length_s, stamps=stamps)


def shown(stream: Stream, values: np.ndarray) -> tuple[WindowRecord, list[Reading]]:
    """A window and readings of which all but the first, which stood when the sensor had settled, can count."""
    times = stream.lag_s + stream.refresh_s * np.arange(len(values) + 1)
    readings = [Reading(t, stream.kind, v) for t, v in zip(times.tolist(), [1.0, *values.tolist()], strict=True)]
    return looped(float(times[-1])), readings


def correlated(random: np.random.Generator, correlation: float, shape: tuple[int, int]) -> np.ndarray:
    """[draws, readings] of unit variance."""
    white = random.standard_normal((shape[0], shape[1] + 100))
    steps = lfilter([math.sqrt(1 - correlation**2)], [1, -correlation], white, axis=1)
    return np.asarray(steps)[:, 100:]


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("noisier", [1.0, 3.0])
def test_a_windows_half_width_holds_its_error_in_95_percent_of_draws(correlation: float, noisier: float) -> None:
    """5 to 60 readings, also where this load is three times as noisy as the one that was calibrated with.

    2000 draws tell 0.95 to half a percent; the larger of two half-widths is too wide with few readings: up to 98 %.
    """
    random = np.random.default_rng(20261129)
    stream = replace(STREAM, noise=0.001, correlation=correlation)
    noise = correlated(random, correlation, (DRAWS, 60))
    held = 0
    for errors, count in zip(noise, random.integers(FEWEST_READINGS, 61, DRAWS), strict=True):
        window, readings = shown(stream, LOAD_W * (1 + noisier * stream.noise * errors[:count]))
        found = power_stretch(window, readings, board(stream))
        assert found is not None
        assert found.readings == count
        held += abs(found.power_w / LOAD_W - 1) <= found.edge_halfwidth
    assert 0.93 <= held / DRAWS <= 0.98


def test_a_reading_counts_for_the_refreshes_it_stood() -> None:
    """A value that stood three refreshes, as one that repeats or of which two updates were lost, counts three times."""
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6, 0.7]) + STREAM.lag_s
    values = [1.0, 200.0, 300.0, 320.0, 310.0, 330.0]
    readings = [Reading(t, POWER, v) for t, v in zip(times.tolist(), values, strict=True)]
    found = power_stretch(looped(2.0), readings, board(STREAM), fewest=2)
    assert found is not None
    assert found.power_w == pytest.approx((200 + 3 * 300 + 320 + 310 + 330) / 7)


def test_few_readings_pass_for_certain_by_chance_as_seldom_as_the_docstring_says() -> None:
    """Noise that leaves twice the limit, and a calibration that knows of none: at most 2.6 % (and its error) pass."""
    random = np.random.default_rng(20261130)
    quiet = replace(STREAM, noise=0.0, correlation=0.0)
    noise = 2 * EDGE_LIMIT * math.sqrt(FEWEST_READINGS) / 1.96
    passed = 0
    for errors in random.normal(0, noise, (DRAWS, FEWEST_READINGS)):
        window, readings = shown(quiet, LOAD_W * (1 + errors))
        passed += power_stretch(window, readings, board(quiet)) is not None
    assert passed / DRAWS == pytest.approx(0.026, abs=4 * math.sqrt(0.026 / DRAWS))


def test_what_a_load_does_within_its_iterations_is_no_noise() -> None:
    """Half of each second at 400 W, half at 200 W, so s = 100 W and p = 1 s: off by s p / (2 L) at the very most."""
    errors, open_share = [], []
    for delay_s in np.arange(0.0, 1.0, 0.05).tolist():  # from its end on the readings count: any part of an iteration
        sensor = board(replace(STREAM, noise=1e-4, delay_s=delay_s))
        sensed = SimulatedSensor(sensor, lambda t: 300 * t + 100 * (0.5 - abs(t % 1.0 - 0.5)), seed=3)
        readings = [Reading(t, POWER, sensed.reading(POWER, t).value) for t in np.arange(0.0, 12.0, 0.01).tolist()]
        found = power_stretch(looped(12.0, iteration_s=1.0), readings, sensor)
        assert found is not None
        errors.append(abs(1 - 300 / found.power_w))
        open_share.append(found.edge_halfwidth)
    assert all(error <= width for error, width in zip(errors, open_share, strict=True))
    assert max(errors) > 0.5 * max(open_share)  # the bound is of the right size


def simulated(name: str, length_s: float, seed: int = 0) -> WindowJoules:
    """A window of a profile's sensor, polled as a run does: twice a refresh."""
    profile, start_s = PROFILES[name], 10.0
    profile = replace(profile, counter=None)
    sensor = SimulatedSensor(profile, lambda t: IDLE_W * t + (LOAD_W - IDLE_W) * max(0.0, t - start_s), seed)
    every_s = 0.501 * min(s.refresh_s for s in profile.streams)
    times = np.arange(start_s, start_s + length_s, every_s).tolist()
    readings = [Reading(t, kind, sensor.reading(kind, t).value) for t in times for kind in profile.kinds]
    stop_s = start_s + length_s
    stamps = [(start_s, 0), (stop_s, round(length_s / ITERATION_S))]
    window = WindowRecord(number=0, kind="window", start_s=start_s, stop_s=stop_s, stamps=stamps)
    return window_joules(window, readings, profile)


@pytest.mark.parametrize("name", ["kepler", "pascal", "frozen-counter", "ga10x-average", "consumer-500ms"])
def test_a_refused_window_is_told_the_seconds_that_do(name: str) -> None:
    refused = simulated(name, 0.1)
    assert refused.power_w is None
    assert f"fewer than {FEWEST_READINGS} distinct readings" in refused.reason
    said = re.search(r"windows of (\S+) s would do", refused.reason)
    assert said is not None
    for seed in range(20):
        found = simulated(name, 1.03 * float(said[1]), seed)  # told to two digits
        assert found.power_w is not None, found.reason
        assert found.edge_halfwidth <= EDGE_LIMIT


def test_noise_that_readings_show_is_told_and_how_long_it_takes() -> None:
    random = np.random.default_rng(20261201)
    errors = 0.1 * random.standard_normal(400)
    window, readings = shown(STREAM, LOAD_W * (1 + errors[:20]))
    refused = window_joules(window, readings, board(STREAM))
    said = re.search(r"20 distinct readings .* leave (\S+)% open, over 2%; windows of (\S+) s would do", refused.reason)
    assert said is not None, refused.reason
    wanted = round(float(said[2]) / STREAM.refresh_s)
    assert wanted == pytest.approx(20 * (float(said[1]) / 2) ** 2, rel=0.1)
    window, readings = shown(STREAM, LOAD_W * (1 + errors[: math.ceil(1.3 * wanted)]))
    assert window_joules(window, readings, board(STREAM)).power_w is not None


def test_an_assumed_sensor_needs_twenty_readings() -> None:
    values = LOAD_W * (1 + 0.001 * np.random.default_rng(1).standard_normal(MIN_READINGS))
    assert power_stretch(*shown(STREAM, values[:-1]), board(STREAM, ASSUMED)) is None
    assert power_stretch(*shown(STREAM, values[:-1]), board(STREAM)) is not None
    assert power_stretch(*shown(STREAM, values), board(STREAM, ASSUMED)) is not None


def test_the_first_source_that_says_enough_is_taken() -> None:
    """The plain value is too noisy here; the average over a second is not."""
    noisy, average = replace(STREAM, noise=0.2), replace(STREAM, kind=POWER_AVERAGE, span_s=0.2, noise=0.001)
    sensor = SensorProfile("two", "two", (noisy, average), None, "test")
    random = np.random.default_rng(2)
    readings = [
        Reading(t, stream.kind, LOAD_W * (1 + stream.noise * random.standard_normal()))
        for t in np.arange(0.0, 2.0, 0.1).tolist()
        for stream in (noisy, average)
    ]
    found = power_stretch(looped(2.0), readings, sensor)
    assert found is not None
    assert found.estimator == POWER_AVERAGE
