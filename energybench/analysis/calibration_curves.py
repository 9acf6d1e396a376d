"""What does a figure of a calibration need? Readings folded by the wave's period with their model, and the beat test.

Plain arrays, as JSON-able lists through :func:`curves_to_dict`, so that a stored calibration can be drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from energybench.analysis.calibration import Identified, Recording, lag_s
from energybench.analysis.sensor_fit import StreamFit
from energybench.analysis.updates import Updates

MOST_POINTS = 400
"""Updates a stream is drawn with: they are kept with every run, and more would hide each other."""
DIGITS = 6
LONG_SPAN_S = 0.5
"""Streams that average over more than this are drawn on the slow wave."""


@dataclass(frozen=True)
class Folded:
    """One stream's updates over the phase of the wave.

    Attributes:
        kind: of the stream.
        period_s: of the wave.
        on_s: how long the load was on in each period, from phase 0 on.
        phase_s: [K] when each update appeared within the period, ascending.
        reading_w: [K] what it showed.
        model_w: [K] what the fit says it should have shown.
    """

    kind: str
    period_s: float
    on_s: float
    phase_s: tuple[float, ...]
    reading_w: tuple[float, ...]
    model_w: tuple[float, ...]


@dataclass(frozen=True)
class BeatCurve:
    """Block means of the beat test over time since its begin; shares of the swing between load off and on."""

    source: str
    times_s: tuple[float, ...]
    on_share: tuple[float, ...]
    seen_share: tuple[float, ...]
    part_time_share: tuple[float, ...]
    verdict: str


@dataclass(frozen=True)
class CalibrationCurves:
    """Everything the figure shows."""

    folded: tuple[Folded, ...]
    beats: tuple[BeatCurve, ...]


def calibration_curves(recording: Recording, found: Identified) -> CalibrationCurves:
    """The curves of a calibration; what was not driven or not found is left out."""
    folded = [_folded(recording, found.updates[kind], fit) for kind, fit in found.fits.items()]
    beats = []
    sources = {"energy_j": found.counter_beat} if found.counter_beat else {}
    fastest = found.fastest
    if fastest is not None and fastest in found.stream_beats:
        sources[fastest] = found.stream_beats[fastest]
    for source, beat in sources.items():
        start_s = recording.stages["beat"][0]
        beats.append(
            BeatCurve(
                source=source,
                times_s=_told(beat.times_s - start_s),
                on_share=_told(beat.on_share),
                seen_share=_told(beat.seen_share),
                part_time_share=_told(beat.part_time_share),
                verdict=beat.verdict,
            )
        )
    return CalibrationCurves(tuple(f for f in folded if f is not None), tuple(beats))


def curves_to_dict(curves: CalibrationCurves) -> dict[str, Any]:
    """As JSON-able values."""
    return asdict(curves)


def curves_from_dict(stored: Mapping[str, Any]) -> CalibrationCurves:
    """What :func:`curves_to_dict` stored.

    Raises:
        ValueError: it is not that.
    """
    try:
        return CalibrationCurves(
            tuple(Folded(**{k: _tupled(v) for k, v in folded.items()}) for folded in stored["folded"]),
            tuple(BeatCurve(**{k: _tupled(v) for k, v in beat.items()}) for beat in stored["beats"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no curves of a calibration: {error}") from error


def _told(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") for value in values.tolist())


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _folded(recording: Recording, updates: Updates, fit: StreamFit) -> Folded | None:
    """Updates of the wave that suits the stream, by phase; levels solved for on this wave alone."""
    stage = "slow wave" if fit.span_s > LONG_SPAN_S and "slow wave" in recording.stages else "wave"
    if stage not in recording.stages:
        return None
    start_s, stop_s = recording.stages[stage]
    wave = recording.wave
    inside = (wave.starts_s >= start_s) & (wave.stops_s <= stop_s)
    starts_s, on_s = wave.starts_s[inside], (wave.stops_s - wave.starts_s)[inside]
    if len(starts_s) < 3:
        return None
    period_s = float(np.median(np.diff(starts_s)))
    settled_s = lag_s(fit)
    part = updates.part(updates.between(float(starts_s[0]) + settled_s, float(starts_s[-1])))
    if not len(part.values):
        return None
    burst = np.searchsorted(starts_s, part.times_s, side="right") - 1
    phases_s = part.times_s - starts_s[burst]
    seen = fit.seen(part, wave)
    design = np.column_stack([np.ones_like(seen), seen])
    model_w = design @ np.linalg.lstsq(design, part.values, rcond=None)[0]
    order = np.argsort(phases_s)[:: math.ceil(len(phases_s) / MOST_POINTS)]
    columns = (phases_s[order], part.values[order], model_w[order])
    return Folded(updates.kind, period_s, float(np.median(on_s)), *map(_told, columns))
