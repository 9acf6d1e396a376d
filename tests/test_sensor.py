"""sensor/: what a sensor publishes of a power that is known exactly."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.errors import MeterError
from energybench.sensor import (
    PROFILES,
    Counter,
    Faults,
    SensorProfile,
    SimulatedSensor,
    Stream,
    assumed_profile,
    rapl_profile,
)

LOW_W, HIGH_W = 100.0, 300.0
STREAMS = [(profile, stream) for profile in PROFILES.values() for stream in profile.streams]
EVERY_STREAM = [pytest.param(p, s, id=f"{p.name}/{s.kind}") for p, s in STREAMS]
QUICK_STREAMS = [pytest.param(p, s, id=f"{p.name}/{s.kind}") for p, s in STREAMS if not s.rise_s]  # a rise hides spans
INTEGRATING = [pytest.param(p, id=p.name) for p in PROFILES.values() if p.counter and not p.counter.part_time]


def square_j(period_s: float, duty: float = 0.5) -> Callable[[float], float]:
    """Exact joules of a square wave between LOW_W and HIGH_W that is high first."""

    def energy_j(time_s: float) -> float:
        periods = math.floor(time_s / period_s)
        on_s = (periods * duty + min(time_s / period_s - periods, duty)) * period_s
        return LOW_W * time_s + (HIGH_W - LOW_W) * on_s

    return energy_j


def steady_j(power_w: float) -> Callable[[float], float]:
    return lambda time_s: power_w * time_s


def step_j(time_s: float) -> float:
    """60 W before 0 s and 300 W from then on."""
    return 60.0 * time_s if time_s < 0 else 300.0 * time_s


def updates(sensor: SimulatedSensor, kind: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of successive updates, polled at a twentieth of the refresh."""
    stream = sensor.profile.stream(kind)
    assert stream is not None
    shown: dict[float, float] = {}
    poll = 0
    while len(shown) < count:
        value, published_s = sensor.reading(kind, 10.0 + poll * stream.refresh_s / 20)
        shown[published_s] = value
        poll += 1
    return np.array(list(shown)), np.array(list(shown.values()))


def one_stream(**changes: float) -> SensorProfile:
    stream = replace(Stream("power_instant_w", 0.1, 0.025), **changes)  # type: ignore[arg-type]
    return SensorProfile("test", "test", (stream,), None, "test")


@pytest.mark.parametrize(("profile", "stream"), EVERY_STREAM)
def test_every_profile_renews_its_values_at_its_refresh(profile: SensorProfile, stream: Stream) -> None:
    times, _ = updates(SimulatedSensor(profile, square_j(0.0271), seed=3), stream.kind, 60)
    gaps = np.diff(times) / stream.refresh_s
    assert np.median(gaps) == pytest.approx(1)
    assert gaps == pytest.approx(np.round(gaps))  # lost updates leave gaps of whole refreshes
    if not profile.faults.lost_share:
        assert gaps == pytest.approx(1)


@pytest.mark.parametrize(("profile", "stream"), QUICK_STREAMS)
def test_every_profile_averages_over_its_span(profile: SensorProfile, stream: Stream) -> None:
    """Fit the span to readings of a square wave whose phase drifts through the refresh."""
    period_s = max(1.618 * stream.refresh_s, 2 * 1.618 * stream.span_s)
    wave_j = square_j(period_s)
    times, watts = updates(SimulatedSensor(profile, wave_j, seed=5), stream.kind, 400)
    times, watts = times[watts > 0], watts[watts > 0]
    spans_s = stream.span_s * np.arange(0.7, 1.31, 0.01)
    errors = []
    for span_s in spans_s:
        ends_s = times - stream.delay_s
        means = np.array([(wave_j(end) - wave_j(end - span_s)) / span_s for end in ends_s])
        errors.append(float(np.sum((watts - means) ** 2)))
    assert spans_s[int(np.argmin(errors))] == pytest.approx(stream.span_s, rel=0.05)


@pytest.mark.parametrize(
    ("name", "kind", "refresh_s", "span_s"),
    [
        ("pascal", "power_w", 0.02, 0.01),
        ("volta", "power_w", 0.02, 0.01),
        ("turing", "power_w", 0.1, 0.1),
        ("a100", "power_w", 0.1, 0.025),
        ("ga10x-fast", "power_instant_w", 0.1, 0.1),
        ("ga10x-fast", "power_w", 0.1, 1.0),
        ("ga10x-average", "power_w", 0.1, 1.0),
        ("h100", "power_instant_w", 0.1, 0.025),
        ("h100", "power_w", 0.1, 1.0),
        ("gh200", "power_instant_w", 0.1, 0.02),
    ],
)
def test_refresh_and_span_are_the_published_ones(name: str, kind: str, refresh_s: float, span_s: float) -> None:
    """Source: arXiv 2312.02741, the table by generation."""
    stream = PROFILES[name].stream(kind)
    assert stream is not None
    assert (stream.refresh_s, stream.span_s) == (refresh_s, span_s)
    assert stream.coverage == min(1.0, span_s / refresh_s)


def test_twelve_profiles_are_grounded_and_the_others_are_called_hypothetical() -> None:
    grounded = [profile.name for profile in PROFILES.values() if not profile.hypothetical]
    assert len(grounded) == 12
    assert {"h200", "a100-part-time-counter"} == PROFILES.keys() - set(grounded)
    assert all(profile.source for profile in PROFILES.values())


def test_power_is_gain_times_mean_plus_offset() -> None:
    sensor = SimulatedSensor(one_stream(gain=1.05, offset_w=-3.0), steady_j(200.0))
    assert sensor.reading("power_instant_w", 5.0).value == pytest.approx(1.05 * 200 - 3)


def test_a_value_is_rounded_to_the_resolution() -> None:
    sensor = SimulatedSensor(one_stream(resolution_w=0.5), steady_j(200.3))
    assert sensor.reading("power_instant_w", 5.0).value == 200.5


def test_a_step_shows_after_the_delay_and_grows_over_the_span() -> None:
    profile = one_stream(refresh_s=0.001, span_s=0.2, delay_s=0.05)
    sensor = SimulatedSensor(profile, step_j)
    for now_s in (0.04, 0.1, 0.15, 0.2, 0.3):
        watts, published_s = sensor.reading("power_instant_w", now_s)
        seen = min(1.0, max(0.0, (published_s - 0.05) / 0.2))
        assert watts == pytest.approx(60 + 240 * seen, abs=2e-3)


def test_rise_is_the_time_from_10_to_90_percent_of_a_step() -> None:
    stream = Stream("power_w", 0.001, 0.001, rise_s=0.2)
    sensor = SimulatedSensor(SensorProfile("slow", "slow", (stream,), None, "test"), step_j)
    shown = [(sensor.reading("power_w", 0.001 * poll).value - 60) / 240 for poll in range(1000)]
    ten, ninety = (next(poll for poll, share in enumerate(shown) if share >= level) for level in (0.1, 0.9))
    assert 0.001 * (ninety - ten) == pytest.approx(0.2, rel=0.01)


def test_noise_has_the_stated_spread_and_correlation() -> None:
    sensor = SimulatedSensor(one_stream(noise=0.01, correlation=0.8), steady_j(250.0), seed=11)
    values = np.array([sensor.reading("power_instant_w", 0.05 + 0.1 * update).value for update in range(20_000)])
    noise = values / 250 - 1
    effective = 20_000 * (1 - 0.8) / (1 + 0.8)  # independent values worth, for the mean
    assert abs(noise.mean()) < 4 * 0.01 / math.sqrt(effective)
    assert noise.std() == pytest.approx(0.01, rel=0.05)
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("name", ["kepler", "h100", "lossy", "a100-part-time-counter"])
def test_how_a_sensor_is_polled_never_changes_what_it_says(name: str) -> None:
    profile, energy_j = PROFILES[name], square_j(0.0271)
    kind = profile.streams[0].kind
    dense = SimulatedSensor(profile, energy_j, seed=2)
    polled = {poll: dense.reading(kind, 0.003 * poll) for poll in range(10_000)}
    counted = {poll: dense.counter_j(0.003 * poll) if profile.counter else 0.0 for poll in range(10_000)}
    jumping = SimulatedSensor(profile, energy_j, seed=2)
    for poll in (9_999, 17, 5_000, 18, 19, 3):
        assert jumping.reading(kind, 0.003 * poll) == polled[poll]
        if profile.counter:
            assert jumping.counter_j(0.003 * poll) == pytest.approx(counted[poll], abs=1e-9)


def test_seeds_move_phases_and_noise() -> None:
    first, second = (SimulatedSensor(PROFILES["h100"], steady_j(300.0), seed) for seed in (1, 2))
    assert first.reading("power_instant_w", 7.0) != second.reading("power_instant_w", 7.0)
    again = SimulatedSensor(PROFILES["h100"], steady_j(300.0), 1)
    assert first.reading("power_instant_w", 7.0) == again.reading("power_instant_w", 7.0)


def test_polling_between_updates_looks_up_nothing() -> None:
    calls = 0

    def energy_j(time_s: float) -> float:
        nonlocal calls
        calls += 1
        return 300.0 * time_s

    sensor = SimulatedSensor(PROFILES["h100"], energy_j)
    for poll in range(100_000):
        sensor.reading("power_instant_w", 1e-4 * poll)
        sensor.counter_j(1e-4 * poll)
    assert calls <= 3 * 101  # 10 s hold 101 updates of two look-ups and 101 ticks of one


def test_streams_that_differ_only_in_name_are_one_sensor() -> None:
    sensor = SimulatedSensor(PROFILES["a100"], square_j(0.0271), seed=4)
    assert sensor.reading("power_w", 9.0) == sensor.reading("power_instant_w", 9.0)


@pytest.mark.parametrize("profile", INTEGRATING)
def test_counter_ticks_are_the_true_joules_within_one_step(profile: SensorProfile) -> None:
    counter, wave_j = profile.counter, square_j(0.0271)
    assert counter is not None
    until_s = profile.faults.frozen_after_s or 6.0
    sensor = SimulatedSensor(replace(profile, streams=()), wave_j, seed=9)
    polls = np.arange(0.0, until_s, 1e-3)
    shown = np.array([sensor.counter_j(poll) for poll in polls])
    ticks = np.flatnonzero(np.diff(shown)) + 1
    assert len(ticks) >= until_s / counter.tick_s * 0.7 - 2
    for tick in ticks:  # the tick fell between two polls, and so does the joules it stands for
        assert wave_j(polls[tick - 1]) - counter.resolution_j <= shown[tick] <= wave_j(polls[tick])


def test_a_part_time_counter_counts_what_the_sensor_saw() -> None:
    """A wave as long as the refresh: every sample sees the same part of it, the true mean is hidden."""
    profile = PROFILES["a100-part-time-counter"]
    quiet = replace(profile, streams=tuple(replace(s, noise=0.0) for s in profile.streams))
    sensor = SimulatedSensor(quiet, square_j(0.1), seed=6)
    seen_w = sensor.reading("power_w", 20.0).value
    assert seen_w != pytest.approx(200, rel=0.05)
    counted_w = (sensor.counter_j(20.0) - sensor.counter_j(10.0)) / 10.0
    assert counted_w == pytest.approx(seen_w, rel=0.001)


def test_a_part_time_counter_is_right_where_power_is_steady() -> None:
    sensor = SimulatedSensor(PROFILES["a100-part-time-counter"], steady_j(300.0))
    assert sensor.counter_j(20.0) - sensor.counter_j(10.0) == pytest.approx(3000.0, rel=1e-6)


def test_a_frozen_counter_stands_still_from_its_moment_on() -> None:
    sensor = SimulatedSensor(PROFILES["frozen-counter"], steady_j(300.0))
    assert sensor.counter_j(1.9) > sensor.counter_j(1.0)
    assert sensor.counter_j(3.0) == sensor.counter_j(2.0) == sensor.counter_j(1000.0)


def test_a_lossy_sensor_shows_zeros_and_loses_updates_as_often_as_it_says() -> None:
    sensor = SimulatedSensor(PROFILES["lossy"], steady_j(300.0), seed=8)
    shown = [sensor.reading("power_instant_w", 0.05 + 0.1 * update) for update in range(5_000)]
    zeros = np.mean([reading.value == 0 for reading in shown])
    lost = np.mean([before == after for before, after in itertools.pairwise(shown)])
    zero_error, lost_error = (4 * math.sqrt(share * (1 - share) / 5_000) for share in (0.02, 0.1))
    assert zeros == pytest.approx(0.02 / 0.9, abs=zero_error)  # a zero stays while the next updates are lost
    assert lost == pytest.approx(0.1, abs=lost_error)


def test_a_sensor_without_a_counter_has_no_joules() -> None:
    with pytest.raises(ValueError, match="no energy counter"):
        SimulatedSensor(PROFILES["pascal"], steady_j(300.0)).counter_j(1.0)


@settings(max_examples=60, deadline=None)
@given(
    powers=st.lists(st.floats(1, 1000), min_size=1, max_size=20),
    times=st.lists(st.floats(0, 30), min_size=2, max_size=30),
    part_time=st.booleans(),
    lost=st.floats(0, 0.5),
)
def test_no_counter_ever_goes_back(powers: list[float], times: list[float], part_time: bool, lost: float) -> None:
    def energy_j(time_s: float) -> float:
        whole = min(max(math.floor(time_s), 0), len(powers) - 1)
        return sum(powers[:whole]) + powers[whole] * (time_s - whole)

    profile = replace(PROFILES["a100"], counter=Counter(0.1, part_time=part_time), faults=Faults(lost_share=lost))
    sensor = SimulatedSensor(profile, energy_j)
    shown = [sensor.counter_j(time_s) for time_s in sorted(times)]
    assert shown == sorted(shown)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_a_profile_survives_being_stored(profile: SensorProfile) -> None:
    assert SensorProfile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


@pytest.mark.parametrize(
    "change",
    [{"streams": [{"kind": "power_w"}]}, {"surprise": 1}, {"counter": {"tick_s": -1.0}}, {"faults": {"zero_share": 2}}],
)
def test_a_stored_profile_that_makes_no_sense_is_refused_with_the_remedy(change: dict[str, object]) -> None:
    with pytest.raises(MeterError, match="energybench calibrate"):
        SensorProfile.from_dict({**PROFILES["h100"].to_dict(), **change})


@pytest.mark.parametrize(
    ("architecture", "brand", "name", "refresh_s", "plain_span_s"),
    [
        ("Volta", "Tesla", "Tesla V100-SXM2-16GB", 0.02, 0.01),
        ("Turing", "GeForce", "NVIDIA GeForce RTX 2080 Ti", 0.1, 0.1),
        ("Ampere", "NVIDIA", "NVIDIA A100-SXM4-80GB", 0.1, 0.025),
        ("Ampere", "NVIDIA", "NVIDIA A10", 0.1, 1.0),
        ("Ampere", "GeForce", "NVIDIA GeForce RTX 3090", 0.5, 1.0),
        ("Ada", "NVIDIA RTX", "NVIDIA RTX 6000 Ada Generation", 0.5, 1.0),
        ("Hopper", "NVIDIA", "NVIDIA H200", 0.1, 1.0),
        ("", "", "", 0.5, 1.0),
    ],
)
def test_a_board_is_assumed_to_be_like_its_generation(
    architecture: str, brand: str, name: str, refresh_s: float, plain_span_s: float
) -> None:
    profile = assumed_profile(architecture, brand, board_name=name)
    plain = profile.stream("power_w")
    assert plain is not None
    assert (plain.refresh_s, plain.span_s) == (refresh_s, plain_span_s)
    assert profile.provenance == "assumed, not calibrated"


def test_an_assumption_holds_exactly_the_kinds_that_were_found() -> None:
    assert assumed_profile("Pascal", "Tesla").kinds == ("power_w",)
    found = assumed_profile("Hopper", "NVIDIA", board_name="NVIDIA H200", kinds=("energy_j", "power_w"))
    assert found.kinds == ("energy_j", "power_w")
    assert found.hypothetical
    assert assumed_profile("Hopper", "NVIDIA", board_name="NVIDIA GH200 480GB").scope == "module"


def test_rapl_ticks_every_millisecond() -> None:
    assert rapl_profile().counter == Counter(0.001, 2.0**-14)
