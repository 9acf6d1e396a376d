"""What is this sensor? From the recording of a calibration to a profile, every number with its uncertainty, and words.

Pure: the same function serves a board that was driven just now and a recording made by someone else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from energybench.analysis.beat import PART, Beat, beat_of_counter, beat_of_stream
from energybench.analysis.counter_fit import CounterFit, counter_power_w, fit_counter
from energybench.analysis.sensor_fit import StreamFit, fit_stream, step_reach_s
from energybench.analysis.steadiness import Noise, noise_of, settling_s
from energybench.analysis.updates import Updates, published, same_source
from energybench.analysis.wave import Wave
from energybench.readings import ENERGY, POWER_KINDS, Reading
from energybench.sensor import Counter, Faults, SensorProfile, Stream

CALIBRATED = "calibrated"
NOT_TESTED = "not tested"
DRIVEN = ("wave", "slow wave", "steps", "beat")
"""Stages in which the load goes on and off, the one whose levels are reported first."""
TOLD_MISSING = 0.01

Span = tuple[float, float]


@dataclass(frozen=True)
class Recording:
    """What was driven and what was read.

    Attributes:
        readings: all of them, in time order.
        wave: when the load was on.
        stages: name of a stage -> (start, stop). ``steady`` is under load throughout and ``idle`` without; in
            ``wave``, ``slow wave``, ``steps`` and ``beat`` it goes on and off. What a recording lacks is not
            identified; one without any stages counts as one wave.
        beat_block_s: length of a block of the beat test.
        faults: impossible values that the meter dropped, by what was wrong.
        polls: how often the meter was read.
        quick: whether this is the short form.
    """

    readings: tuple[Reading, ...]
    wave: Wave
    stages: Mapping[str, Span] = field(default_factory=dict)
    beat_block_s: float = 0.5
    faults: Mapping[str, int] = field(default_factory=dict)
    polls: int = 0
    quick: bool = False

    @property
    def duration_s(self) -> float:
        """From the first reading to the last."""
        return self.readings[-1].time_s - self.readings[0].time_s if self.readings else 0.0


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % half-width; None for a number that could not be told."""

    value: float | None
    halfwidth: float | None = None


@dataclass(frozen=True)
class StreamReport:
    """What was identified of one power stream; times in seconds, shares relative."""

    kind: str
    same_as: str
    refresh_s: Estimate
    span_s: Estimate
    delay_s: Estimate
    rise_s: Estimate
    coverage: Estimate
    noise: Estimate
    correlation: Estimate
    settling_s: float | None
    off_w: float | None
    on_w: float | None
    misfit: float | None
    missing_share: float
    regular: bool
    beat_spread: float | None


@dataclass(frozen=True)
class CounterReport:
    """What was identified of the energy counter.

    ``sees`` is ``all of the time``, ``part of the time``, ``cannot tell`` or ``not tested``; ``part_time_weight`` the
    share of a part-time sum's swing that it showed (0 true integral, 1 part-time). ``agreement`` is its power over the
    best power stream's, by load.
    """

    tick_s: Estimate
    delay_s: float | None
    resolution_j: float
    froze_s: float | None
    sees: str
    part_time_weight: Estimate
    contrast: float | None
    agreement: Mapping[str, float]


@dataclass(frozen=True)
class CalibrationReport:
    """Everything a calibration found; JSON-able through :meth:`to_dict`."""

    streams: tuple[StreamReport, ...]
    counter: CounterReport | None
    duration_s: float
    poll_s: float
    quick: bool
    verdict: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)

    def stream(self, kind: str) -> StreamReport | None:
        """The report of one kind."""
        return next((s for s in self.streams if s.kind == kind), None)


@dataclass(frozen=True)
class Identified:
    """The fits behind a report, for figures: by kind, streams that are the same one under one kind only."""

    updates: Mapping[str, Updates]
    fits: Mapping[str, StreamFit]
    noises: Mapping[str, Noise]
    same_as: Mapping[str, str]
    ticks: Updates | None
    counter: CounterFit | None
    counter_beat: Beat | None
    stream_beats: Mapping[str, Beat]

    @property
    def fastest(self) -> str | None:
        """The kind with the shortest span; None without a fitted stream."""
        return min(self.fits, key=lambda kind: self.fits[kind].span_s, default=None)


def identify(recording: Recording, *, kinds: Sequence[str] | None = None) -> Identified:
    """Fit every source of a recording.

    Args:
        recording: what was driven and read.
        kinds: power kinds to look at; None for all that were read.
    """
    present = {r.kind for r in recording.readings}
    wanted = [k for k in POWER_KINDS if k in present and (kinds is None or k in kinds)]
    same_as = _duplicates(recording, wanted)
    own = [kind for kind in wanted if kind not in same_as]
    updates = {kind: u for kind in own if (u := published(recording.readings, kind)) is not None}
    fits = {kind: f for kind, u in updates.items() if (f := _fitted(recording, u)) is not None}
    steady = recording.stages.get("steady")
    noises: dict[str, Noise] = {}
    for kind, update in updates.items() if steady else ():
        noise = noise_of(update, steady[0] + _lag_s(fits.get(kind)), steady[1])
        if noise is not None:
            noises[kind] = noise
    ticks = published(recording.readings, ENERGY)
    counter = None
    if ticks is not None:
        start_s, stop_s = _wave_span(recording)
        last_s = max(r.time_s for r in recording.readings if r.kind == ENERGY)
        counter = fit_counter(ticks, recording.wave, last_s=last_s, start_s=start_s, stop_s=stop_s)
    found = Identified(updates, fits, noises, same_as, ticks, counter, None, {})
    return replace(found, counter_beat=_counter_beat(recording, found), stream_beats=_stream_beats(recording, found))


def profile_of(recording: Recording, found: Identified, *, name: str, title: str, scope: str) -> SensorProfile:
    """The sensor that was identified, as the planner and the estimators want it; what was not identified is not in it."""
    streams = []
    for kind in POWER_KINDS:
        source = found.same_as.get(kind, kind)
        fit, updates = found.fits.get(source), found.updates.get(source)
        if fit is None or updates is None:
            continue
        noise = found.noises.get(source)
        streams.append(
            Stream(
                kind,
                updates.refresh_s,
                fit.span_s,
                delay_s=max(fit.delay_s, 0.0),
                rise_s=fit.rise_s,
                noise=noise.relative if noise else fit.misfit,
                correlation=noise.correlation if noise else 0.0,
            )
        )
    part_time = found.counter_beat is not None and found.counter_beat.verdict == PART
    counter = None
    if found.counter is not None and found.counter.froze_s is None:
        delay_s = 0.0 if part_time or found.counter.delay_s is None else found.counter.delay_s
        counter = Counter(found.counter.tick_s, found.counter.resolution_j, part_time=part_time, delay_s=delay_s)
    form = "quick form" if recording.quick else "full form"
    return SensorProfile(
        name=name,
        title=title,
        streams=tuple(streams),
        counter=counter,
        source=f"energybench calibrate, {form}, {recording.duration_s:.0f} s of square waves. Gain needs a meter: 1.",
        provenance=CALIBRATED,
        scope=scope,
        faults=_faults(recording, found),
    )


def report_of(recording: Recording, found: Identified) -> tuple[tuple[StreamReport, ...], CounterReport | None]:
    """What was identified, number by number."""
    streams = tuple(
        _stream_report(recording, found, kind) for kind in POWER_KINDS if found.same_as.get(kind, kind) in found.updates
    )
    return streams, _counter_report(recording, found)


def _stream_report(recording: Recording, found: Identified, kind: str) -> StreamReport:
    source = found.same_as.get(kind, kind)
    updates, fit, noise = found.updates[source], found.fits.get(source), found.noises.get(source)
    beat = found.stream_beats.get(source)
    settled = None
    if "steady" in recording.stages:
        settled = settling_s(updates, *recording.stages["steady"], noise)
    span = Estimate(fit.span_s, fit.span_halfwidth_s) if fit else Estimate(None)
    coverage = Estimate(None)
    if fit:
        ratio = fit.span_s / updates.refresh_s
        coverage = Estimate(min(ratio, 1.0), fit.span_halfwidth_s / updates.refresh_s)
    return StreamReport(
        kind=kind,
        same_as=found.same_as.get(kind, ""),
        refresh_s=Estimate(updates.refresh_s, updates.refresh_halfwidth_s),
        span_s=span,
        delay_s=Estimate(fit.delay_s, fit.delay_halfwidth_s) if fit else Estimate(None),
        rise_s=Estimate(fit.rise_s, fit.rise_halfwidth_s) if fit else Estimate(None),
        coverage=coverage,
        noise=Estimate(noise.relative, noise.relative_halfwidth) if noise else Estimate(None),
        correlation=Estimate(noise.correlation, noise.correlation_halfwidth) if noise else Estimate(None),
        settling_s=settled,
        off_w=fit.off_w if fit else None,
        on_w=fit.off_w + fit.swing_w if fit else None,
        misfit=fit.misfit if fit else None,
        missing_share=updates.missing_share,
        regular=updates.regular,
        beat_spread=beat.spread if beat else None,
    )


def _counter_report(recording: Recording, found: Identified) -> CounterReport | None:
    counter, beat = found.counter, found.counter_beat
    if counter is None:
        return None
    return CounterReport(
        tick_s=Estimate(counter.tick_s, counter.tick_halfwidth_s),
        delay_s=counter.delay_s if beat is None or beat.verdict != PART else None,
        resolution_j=counter.resolution_j,
        froze_s=counter.froze_s,
        sees=beat.verdict if beat else NOT_TESTED,
        part_time_weight=Estimate(beat.weight, beat.weight_halfwidth) if beat else Estimate(None),
        contrast=beat.contrast if beat else None,
        agreement=_agreement(recording, found),
    )


def _duplicates(recording: Recording, kinds: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, kind in enumerate(kinds):
        for earlier in kinds[:index]:
            if earlier not in found and same_source(recording.readings, earlier, kind):
                found[kind] = earlier
                break
    return found


def _lag_s(fit: StreamFit | None) -> float:
    """After a step, the time until a stream shows nothing of what was before."""
    return fit.delay_s + fit.span_s + 3 * fit.rise_s if fit else 1.5


def _wave_span(recording: Recording, stage: str = "wave") -> Span:
    """Where a wave ran; the whole recording where stages were not told."""
    whole = (recording.readings[0].time_s, recording.readings[-1].time_s)
    return recording.stages.get(stage, recording.stages.get("wave", whole))


def _fitted(recording: Recording, updates: Updates) -> StreamFit | None:
    """The fit on everything that was driven; where stages were told, levels of its own for each of them."""
    reach_s = step_reach_s(updates, recording.wave) or 12 * updates.refresh_s
    groups = np.full(len(updates.values), -1)
    for number, stage in enumerate(s for s in DRIVEN if s in recording.stages):
        groups[updates.between(*recording.stages[stage])] = number
    if not recording.stages:
        groups[:] = 0
    driven = groups >= 0
    return fit_stream(updates.part(driven), recording.wave, reach_s=reach_s, groups=groups[driven])


def _counter_beat(recording: Recording, found: Identified) -> Beat | None:
    fastest = found.fastest
    if found.ticks is None or found.counter is None or found.counter.froze_s is not None or fastest is None:
        return None
    if "beat" not in recording.stages:
        return None
    start_s, stop_s = recording.stages["beat"]
    return beat_of_counter(
        found.ticks, recording.wave, found.updates[fastest], found.fits[fastest],
        block_s=recording.beat_block_s, start_s=start_s, stop_s=stop_s, delay_s=found.counter.delay_s or 0.0,
    )  # fmt: skip


def _stream_beats(recording: Recording, found: Identified) -> dict[str, Beat]:
    if "beat" not in recording.stages:
        return {}
    start_s, stop_s = recording.stages["beat"]
    beats = {
        kind: beat_of_stream(
            found.updates[kind], recording.wave, fit, block_s=recording.beat_block_s, start_s=start_s, stop_s=stop_s
        )
        for kind, fit in found.fits.items()
    }
    return {kind: beat for kind, beat in beats.items() if beat is not None}


def _agreement(recording: Recording, found: Identified) -> dict[str, float]:
    """Counter power over the mean reading of the fastest stream, at idle and under load."""
    fastest = found.fastest
    if fastest is None or found.ticks is None:
        return {}
    updates, fit = found.updates[fastest], found.fits[fastest]
    ratios = {}
    for load in ("idle", "steady"):
        if load not in recording.stages:
            continue
        start_s, stop_s = recording.stages[load][0] + _lag_s(fit), recording.stages[load][1]
        counted = counter_power_w(found.ticks, start_s, stop_s)
        shown = updates.values[updates.between(start_s, stop_s)]
        if counted is not None and len(shown) and shown.mean() > 0:
            ratios[load] = counted / float(shown.mean())
    return ratios


def _faults(recording: Recording, found: Identified) -> Faults:
    """Shares of updates that were lost or shown as 0, where worth telling."""
    zeros = sum(count for fault, count in recording.faults.items() if "not above 0" in fault)
    sources = max(len({r.kind for r in recording.readings} - {ENERGY}), 1)
    zero_share = zeros / (recording.polls * sources) if recording.polls else 0.0
    missing = [u.missing_share for u in found.updates.values()]
    lost_share = max(min(missing, default=0.0) - zero_share, 0.0)
    lost_share, zero_share = (s if s > TOLD_MISSING else 0.0 for s in (lost_share, zero_share))
    return (
        Faults(zero_share=min(zero_share, 0.4), lost_share=min(lost_share, 0.4))
        if math.isfinite(zero_share)
        else Faults()
    )
