"""What does a calibration say, number by number? The report with every uncertainty, and the profile to plan with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from energybench.analysis.beat import PART
from energybench.analysis.calibration import Identified, Recording, lag_s
from energybench.analysis.counter_fit import counter_power_w
from energybench.analysis.steadiness import settling_s
from energybench.readings import ENERGY, POWER_KINDS
from energybench.sensor import Counter, Faults, SensorProfile, Stream

CALIBRATED = "calibrated"
NOT_TESTED = "not tested"
TOLD_MISSING = 0.01
UNRELIABLE_MISFIT = 0.15


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
        start_s, stop_s = recording.stages[load][0] + lag_s(fit), recording.stages[load][1]
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
    return Faults(zero_share=min(zero_share, 0.4), lost_share=min(lost_share, 0.4))
