"""analysis/guards.py: the alias bound, the observer effect, the health of readings, throttling."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quiet import SMALL, Remembering, measured

from energybench.analysis.guards import (
    alias_bias_w,
    alias_bound,
    call_percentiles,
    foreign_memory_bytes,
    longest_safe_iteration_s,
    observer_effect,
    reading_health,
    throttle_verdict,
)
from energybench.analysis.summary import summarize
from energybench.analysis.wave import Wave
from energybench.devices import Prepared, Stamp
from energybench.devices.open import Watch
from energybench.devices.simulated import SimulatedDevice, SimulatedLoop, SimulatedPrepared
from energybench.journal import BoardRecord, WindowRecord, load
from energybench.meters import BoardState
from energybench.meters.simulated import SimulatedMeter
from energybench.readings import ENERGY, POWER, POWER_AVERAGE, POWER_INSTANT, Reading
from energybench.report.guards import guard_words
from energybench.runner.bench import foreign_flags
from energybench.sensor import PROFILES
from energybench.session import RunOptions, Station, plan_study, run_study
from energybench.suite import parse_suite

A100 = PROFILES["a100"]


@pytest.mark.parametrize(
    ("period_s", "fires"), [(0.0005, False), (0.001, False), (0.002, True), (0.01, True), (0.1, True)]
)
def test_the_alias_guard_fires_for_long_iterations_only(period_s: float, fires: bool) -> None:
    """Requirement 15 of docs/trust.md: W 25 ms of T 100 ms, a swing of 0.8 of the power, half of the time, 1 %."""
    assert (alias_bound(300.0, 60.0, period_s, A100, POWER_INSTANT) > 0.01) == fires


def test_the_bound_of_a_short_period_is_the_formulas() -> None:
    """d (1 - d) p / W of the swing: 0.25 x 1 / 25 of 0.8."""
    assert alias_bound(300.0, 60.0, 0.001, A100, POWER_INSTANT) == pytest.approx(0.8 * 0.25 / 25)
    assert alias_bias_w(100.0, 10.0, 0.025, duty=0.3) == pytest.approx(70.0)  # never more than max(d, 1 - d)


def test_sources_that_see_all_of_the_time_cannot_alias() -> None:
    assert alias_bound(300.0, 60.0, 0.1, A100, ENERGY) == 0.0
    assert alias_bound(300.0, 60.0, 0.1, PROFILES["turing"], POWER_INSTANT) == 0.0
    assert alias_bound(300.0, 60.0, 0.1, PROFILES["h100"], POWER_AVERAGE) == 0.0
    assert longest_safe_iteration_s(300.0, 60.0, A100, ENERGY, 0.01) == math.inf


def test_a_part_time_counter_aliases_like_the_samples_it_adds_up() -> None:
    part_time = PROFILES["a100-part-time-counter"]
    assert alias_bound(300.0, 60.0, 0.01, part_time, ENERGY) == alias_bound(300.0, 60.0, 0.01, A100, POWER_INSTANT)


def test_the_longest_safe_iteration_meets_the_precision_exactly() -> None:
    longest_s = longest_safe_iteration_s(300.0, 60.0, A100, POWER_INSTANT, 0.01)
    assert longest_s == pytest.approx(1.25e-3)  # docs/derivations.md 4
    assert alias_bound(300.0, 60.0, longest_s, A100, POWER_INSTANT) == pytest.approx(0.01)
    assert longest_safe_iteration_s(300.0, 299.0, A100, POWER_INSTANT, 0.01) == math.inf


@given(
    period_s=st.floats(1e-3, 0.3), duty=st.floats(0.05, 0.95), span_s=st.floats(0.01, 0.09), phase=st.floats(0.0, 1.0)
)
def test_no_part_time_mean_errs_by_more_than_the_bound(
    period_s: float, duty: float, span_s: float, phase: float
) -> None:
    starts = np.arange(-1.0, 6.0, period_s)
    wave = Wave(starts, starts + duty * period_s)
    ends = 0.1 * np.arange(1, 51) + phase * 0.1
    mean = float(wave.share(ends - span_s, ends).mean())
    assert abs(mean - duty) <= alias_bias_w(1.0, period_s, span_s, duty=duty) + 1e-9


def test_an_observer_effect_is_seen_and_its_absence_too() -> None:
    generator = np.random.default_rng(1)
    sparse = 1e-3 * np.exp(generator.normal(0, 5e-4, 8))
    slowed = observer_effect(list(sparse * 1.02 * np.exp(generator.normal(0, 5e-4, 8))), list(sparse))
    assert slowed.significant
    assert not slowed.small
    assert slowed.ratio.low <= 1.02 <= slowed.ratio.high
    alike = observer_effect(list(sparse * np.exp(generator.normal(0, 5e-4, 8))), list(sparse))
    assert alike.small
    assert not alike.significant


def test_a_drift_does_not_look_like_an_observer_effect() -> None:
    """Dense, sparse, sparse, dense while the loop slows down by 1 % each window: a whole pair of pairs cancels."""
    time_s = [1.0, 1.01, 1.02, 1.03]
    effect = observer_effect([time_s[0], time_s[3]], [time_s[1], time_s[2]])
    assert effect.ratio.estimate == pytest.approx(1.0, abs=2e-4)
    assert not effect.significant


def test_unequal_numbers_of_windows_are_compared_too() -> None:
    effect = observer_effect([1.02, 1.0205, 1.0195], [1.0, 1.0002])
    assert effect.ratio.estimate == pytest.approx(1.02, rel=1e-3)
    assert effect.significant
    with pytest.raises(ValueError, match="at least two"):
        observer_effect([1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="positive"):
        observer_effect([1.0, 0.0], [1.0, 1.0])


def readings(frozen_from_s: float = math.inf) -> list[Reading]:
    """Ten seconds of a power value that changes every 0.1 s until it freezes."""
    times = np.arange(0.0, 10.0, 0.05)
    return [Reading(float(t), POWER_INSTANT, 200.0 + math.floor(min(t, frozen_from_s) / 0.1 + 1e-9)) for t in times]


def test_a_frozen_value_is_stale_for_the_time_beyond_five_refreshes() -> None:
    """Frozen from 4 s on: 6 s less 5 x 0.1 s of patience, of 10 s."""
    health = reading_health(readings(4.0), {}, A100, 0.0, 10.0)
    assert health.stale_share == {POWER_INSTANT: pytest.approx(0.55)}
    assert health.worst_stale == pytest.approx(0.55)
    assert health.invalid(POWER_INSTANT)
    assert not health.invalid(ENERGY)
    assert reading_health(readings(), {}, A100, 0.0, 10.0).stale_share == {POWER_INSTANT: 0.0}


def test_dropped_values_invalidate_above_one_percent() -> None:
    health = reading_health(readings(), {"power_instant_w: not above 0": 2}, A100, 0.0, 10.0)
    assert health.impossible_share == pytest.approx(2 / 202)
    assert not health.invalid(POWER_INSTANT)
    assert reading_health(readings(), {"x": 3}, A100, 0.0, 10.0).invalid(POWER_INSTANT)


def test_what_was_dropped_is_held_against_everything_that_was_asked_for() -> None:
    """Faults are counted over the whole loop: of 202 values, however few of them lie in its interior."""
    health = reading_health(readings(), {"power_instant_w: not above 0": 2}, A100, 9.0, 10.0)
    assert health.impossible_share == pytest.approx(2 / 202)


def test_time_stamps_that_run_backwards_are_faults() -> None:
    """Of the source's own stamps and of the host's: 3 of 200 are over 1 %."""
    steady = [r._replace(native_time_s=r.time_s - 0.02) for r in readings()]
    assert reading_health(steady, {}, A100, 0.0, 10.0).reversed_stamps == 0
    native = [r._replace(native_time_s=r.time_s - 5.0) if i in (50, 90, 130) else r for i, r in enumerate(steady)]
    health = reading_health(native, {}, A100, 0.0, 10.0)
    assert health.reversed_stamps == 3
    assert health.impossible_share == pytest.approx(3 / 200)
    assert health.invalid(POWER_INSTANT)
    host = [r._replace(time_s=r.time_s - 0.2) if i == 50 else r for i, r in enumerate(steady)]
    assert reading_health(host, {}, A100, 0.0, 10.0).reversed_stamps == 1
    other = [r._replace(kind=ENERGY, time_s=r.time_s - 0.01) for r in steady]  # another source has its own order
    mixed = [r for pair in zip(steady, other, strict=True) for r in pair]
    assert reading_health(mixed, {}, A100, 0.0, 10.0).reversed_stamps == 0


def test_calls_are_told_by_source_with_median_and_99th_percentile() -> None:
    slow = [r._replace(call_s=0.02 if i == 7 else 1e-3) for i, r in enumerate(readings())]
    counter = [r._replace(kind=ENERGY, call_s=5e-4) for r in readings()]
    healths = [reading_health(part, {}, A100, 0.0, 10.0) for part in (slow[:100], slow[100:], counter)]
    found = call_percentiles(healths)
    assert found[ENERGY] == (5e-4, 5e-4)
    assert found[POWER_INSTANT] == (1e-3, pytest.approx(np.percentile([1e-3] * 199 + [0.02], 99)))
    assert call_percentiles([]) == {}


def test_memory_that_others_take_or_give_back_is_seen_between_two_settlings() -> None:
    def window(used_bytes: float | None, kind: str = "window", graphs: int = 0) -> WindowRecord:
        board = BoardRecord(time_s=0.0, memory_used_bytes=used_bytes)
        return WindowRecord(number=0, kind=kind, before=board, after=board, recompilations=graphs)  # type: ignore[arg-type]

    assert foreign_memory_bytes([]) == foreign_memory_bytes([window(None)]) == 0
    assert foreign_memory_bytes([window(2e9), window(2.001e9), window(2e9)]) == 1e6
    assert foreign_memory_bytes([window(2e9), window(3e9), window(3e9)]) == 1e9
    assert foreign_memory_bytes([window(2e9), window(3e9, "settle"), window(3e9)]) == 0  # other work was prepared
    assert foreign_memory_bytes([window(2e9), window(3e9, graphs=1), window(3e9)]) == 0


def test_one_process_of_another_number_is_ourselves_and_any_more_are_not() -> None:
    def flags(*pids: int, own: bool = False, context: bool = True) -> list[str]:
        return foreign_flags(BoardState(time_s=0.0, processes=pids, own_listed=own), has_context=context)

    assert foreign_flags(BoardState(time_s=0.0, processes=None), has_context=True) == []
    assert flags() == flags(own=True) == []
    assert flags(7) == ["foreign-unseen"]  # a container: we are listed as the host counts us
    assert flags(os.getpid()) == ["foreign-unseen"]  # even where that number is a process here
    assert flags(7, 8) == ["foreign-process"]
    assert flags(7, own=True) == ["foreign-process"]
    assert flags(7, context=False) == ["foreign-process"]


class HeldBack(SimulatedDevice):
    """A simulated board whose loops stand still while the driver answers the meter, as launches do that wait for it."""

    answering_s = 0.0
    """How long the meter has taken to answer, in all."""

    def loop(self, prepared: Prepared) -> SimulatedLoop:
        assert isinstance(prepared, SimulatedPrepared)
        return HeldBackLoop(self, prepared, 1.0, 1.0)


class HeldBackLoop(SimulatedLoop):
    """Does in its time what fits beside the answers."""

    def __init__(self, device: HeldBack, work: SimulatedPrepared, speed: float, power: float) -> None:
        super().__init__(device, work, speed, power)
        self._board, self._before_s = device, device.answering_s

    def stop(self) -> Sequence[Stamp]:
        stamps = super().stop()
        held_s = self._board.answering_s - self._before_s
        share = 1 - held_s / (stamps[-1].time_s - stamps[0].time_s)
        return [Stamp(s.time_s, round(s.iterations * share)) for s in stamps]


class Slow(SimulatedMeter):
    """A simulated meter that tells its board how long it takes."""

    board: HeldBack

    def read(self, kinds: Collection[str] | None = None) -> list[Reading]:
        self.board.answering_s += self._call_s
        return super().read(kinds)


@pytest.mark.parametrize(("call_s", "flagged"), [(2e-6, False), (2e-3, True)])
def test_a_slow_meter_that_holds_back_the_loop_raises_the_flag_in_a_run(
    tmp_path: Path, call_s: float, flagged: bool
) -> None:
    """Polled every millisecond, 2 ms a call hold the loop back for two thirds of the time, 2 us for 0.2 %."""
    board = HeldBack("h200")
    meter = Slow(board.clock, board.power.energy_j, PROFILES["h100"], call_s=call_s)
    meter.board = board
    options = RunOptions(results=tmp_path, only=("FgGC g=8",))
    station = Station(board, Watch(meter, meter.probe(), PROFILES["h100"]), ())
    study = plan_study(parse_suite(SMALL), station, options)
    summary = summarize(run_study(study, station, options, Remembering()))
    rows = summary.cases
    assert rows["flags"].str.split().map(lambda flags: "observer" in flags).eq(flagged).all()
    share = call_s / (call_s + 1e-3)
    assert rows["observer_effect"].iloc[0] == pytest.approx(share / (1 - share), rel=0.1, abs=1e-3)
    assert summary.calls[ENERGY] == pytest.approx((call_s, call_s))
    said = " ".join(guard_words(summary))
    assert "One call to the meter took, in the median (99th percentile)" in said


def test_idle_above_the_calibrations_is_flagged(tmp_path: Path) -> None:
    folder, _ = measured(tmp_path, quick=True)
    run = load(folder)
    idle_w = summarize(run).idle.power_w  # type: ignore[union-attr]
    for then_w, flagged in ((idle_w / 1.05, False), (idle_w / 1.15, True)):
        streams = [{"kind": POWER_AVERAGE, "off_w": 1.0}, {"kind": POWER_INSTANT, "off_w": then_w}]
        record = run.record.model_copy(update={"calibration": {"streams": streams}})
        rows = summarize(replace(run, record=record)).cases
        assert rows["flags"].str.split().map(lambda flags: "idle-raised" in flags).eq(flagged).all()


def test_kinds_that_are_not_in_the_profile_are_not_judged() -> None:
    only = replace(A100, streams=tuple(s for s in A100.streams if s.kind == POWER), counter=None)
    assert reading_health(readings(4.0), {}, only, 0.0, 10.0).stale_share == {}
    assert reading_health([], {}, A100, 0.0, 10.0).worst_stale == 0.0


@pytest.mark.parametrize(
    ("share", "verdict"), [(None, "unknown"), (0.0, "ok"), (1e-3, "ok"), (2e-3, "warns"), (0.02, "fails")]
)
def test_throttling_warns_above_a_thousandth_and_fails_above_a_hundredth(share: float | None, verdict: str) -> None:
    assert throttle_verdict(share) == verdict
