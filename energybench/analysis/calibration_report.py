"""What does a calibration say, number by number? The report with every uncertainty, and the profile to plan with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from energybench.analysis.beat import PART
from energybench.analysis.calibration import DRIVEN, Identified, Recording, lag_s
from energybench.analysis.correlated import correlated_mean
from energybench.analysis.counter_fit import counter_power_w, counter_powers
from energybench.analysis.steadiness import JUDGED_OVER_S, Noise, settled_to, settling_s
from energybench.analysis.updates import Updates
from energybench.readings import ENERGY, POWER_KINDS
from energybench.sensor import Counter, Faults, SensorProfile, Stream

CALIBRATED = "calibrated"
NOT_TESTED = "not tested"
TOLD_MISSING = 0.01
UNRELIABLE_MISFIT = 0.15
LOADS = {"idle": "idle", "half": "wave", "full": "steady"}
"""Where counter and power are held against each other: the wave is on for half of its time."""


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
    settling_s: Estimate
    settled_to: float
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
    best power stream's, by load: ``idle``, ``half`` (the wave), ``full``.
    """

    tick_s: Estimate
    delay_s: float | None
    resolution_j: float
    settling_s: Estimate
    froze_s: float | None
    sees: str
    part_time_weight: Estimate
    contrast: float | None
    agreement: Mapping[str, Estimate]


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

    @property
    def reliable(self) -> bool:
        """Whether every stream followed its model: a profile that does not deserve this is not worth keeping."""
        own = [stream for stream in self.streams if not stream.same_as]
        return all(stream.misfit is not None and stream.misfit <= UNRELIABLE_MISFIT for stream in own)

    def stream(self, kind: str) -> StreamReport | None:
        """The report of one kind."""
        return next((s for s in self.streams if s.kind == kind), None)


def profile_of(recording: Recording, found: Identified, *, name: str, title: str, scope: str) -> SensorProfile:
    """The sensor as the planner and the estimators want it; what was not identified is not in it."""
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
                noise_margin=noise.margin if noise else 1.0,
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
        settling_s=_slowest_settling_s(recording, found),
        scope=scope,
        faults=_faults(recording, found),
    )


def _slowest_settling_s(recording: Recording, found: Identified) -> float:
    """Of the counter, else of all streams; the whole steady load where one had not settled by its last third."""
    if "steady" not in recording.stages:
        return 0.0
    start_s, stop_s = recording.stages["steady"]
    counted = _counter_settling(recording, found)
    streams = [_settling(recording, u, found.noises.get(kind)) for kind, u in found.updates.items()]
    settled = [counted] if counted is not None else streams
    return max((stop_s - start_s if s.value is None else s.value for s in settled), default=0.0)


def _counter_settling(recording: Recording, found: Identified) -> Estimate | None:
    """By the counter, whose power has no noise to hide half a percent; None without one that moves."""
    if found.ticks is None or found.counter is None or found.counter.froze_s is not None:
        return None
    return _settling(recording, counter_powers(found.ticks), None)


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
        settling_s=_settling(recording, updates, noise),
        settled_to=settled_to(updates, noise),
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
        settling_s=_counter_settling(recording, found) or Estimate(None),
        froze_s=counter.froze_s,
        sees=beat.verdict if beat else NOT_TESTED,
        part_time_weight=Estimate(beat.weight, beat.weight_halfwidth) if beat else Estimate(None),
        contrast=beat.contrast if beat else None,
        agreement=_agreement(recording, found),
    )


def _settling(recording: Recording, updates: Updates, noise: Noise | None) -> Estimate:
    """When power had settled under the steady load; known to half of the mean that judges it."""
    if "steady" not in recording.stages:
        return Estimate(None)
    settled_s = settling_s(updates, *recording.stages["steady"], noise)
    return Estimate(settled_s, None if settled_s is None else 0.5 * JUDGED_OVER_S)


def _agreement(recording: Recording, found: Identified) -> dict[str, Estimate]:
    """Counter power over the mean reading of the fastest stream, at idle, in the wave and under load."""
    fastest = found.fastest
    if fastest is None or found.ticks is None:
        return {}
    ratios = {}
    for load, stage in LOADS.items():
        if stage not in recording.stages:
            continue
        start_s, stop_s = recording.stages[stage][0] + lag_s(found.fits[fastest]), recording.stages[stage][1]
        counted = counter_power_w(found.ticks, start_s, stop_s)
        shown = _driven_w if stage in DRIVEN else _steady_w
        power = shown(recording, found, fastest, start_s, stop_s)
        if counted is not None and power.value and power.value > 0:
            width = None if power.halfwidth is None else power.halfwidth / power.value
            ratios[load] = Estimate(counted / power.value, width)
    return ratios


def _steady_w(recording: Recording, found: Identified, kind: str, start_s: float, stop_s: float) -> Estimate:  # noqa: ARG001
    """Mean of a stream's readings at a load that does not change."""
    shown = found.updates[kind].part(found.updates[kind].between(start_s, stop_s))
    if len(shown.values) < 2:
        return Estimate(None)
    noise = found.noises.get(kind)
    mean = correlated_mean(shown.slots, shown.values, np.ones(len(shown.values)), noise.correlation if noise else 0.0)
    return Estimate(mean.value, mean.own_halfwidth)


def _driven_w(recording: Recording, found: Identified, kind: str, start_s: float, stop_s: float) -> Estimate:
    """What a stream says of a wave: its levels, for the share of the time that the load was on between the ticks."""
    fit, ticks = found.fits[kind], found.ticks
    if ticks is None:
        return Estimate(None)
    times = ticks.times_s[ticks.between(start_s, stop_s)]
    if len(times) < 2:
        return Estimate(None)
    delay_s = found.counter.delay_s or 0.0 if found.counter else 0.0
    share = float(recording.wave.share(times[0] - delay_s, times[-1] - delay_s))
    updates = max(int(np.count_nonzero(found.updates[kind].between(start_s, stop_s))), 1)
    return Estimate(fit.off_w + fit.swing_w * share, 1.96 * fit.misfit * fit.swing_w / math.sqrt(updates))


def _faults(recording: Recording, found: Identified) -> Faults:
    """Shares of updates that were lost or shown as 0, where worth telling."""
    zeros = sum(count for fault, count in recording.faults.items() if "not above 0" in fault)
    sources = max(len({r.kind for r in recording.readings} - {ENERGY}), 1)
    zero_share = zeros / (recording.polls * sources) if recording.polls else 0.0
    missing = [u.missing_share for u in found.updates.values()]
    lost_share = max(min(missing, default=0.0) - zero_share, 0.0)
    lost_share, zero_share = (s if s > TOLD_MISSING else 0.0 for s in (lost_share, zero_share))
    return Faults(zero_share=min(zero_share, 0.4), lost_share=min(lost_share, 0.4))
