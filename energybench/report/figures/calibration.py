"""What did the sensor do while it was calibrated? The folded square wave against its model, and the beat test."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from energybench.analysis.beat import PART, UNCLEAR
from energybench.analysis.calibration_curves import BeatCurve, CalibrationCurves, Folded
from energybench.report.figures.panels import WIDTH_IN
from energybench.report.style import FOAM, INK, MUTED, WARN, WATER, styled, title

_NAMES = {
    "power_instant_w": "fast power value",
    "power_w": "plain power value",
    "power_average_w": "averaged power value",
    "energy_j": "energy counter",
}


@styled
def calibration_figure(curves: CalibrationCurves, *, subtitle: str = "", origin: str = "measured") -> Figure:
    """One panel a power stream, and one for the beat test.

    Args:
        curves: as ``calibration_curves`` returns them.
        subtitle: device and sensor.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: there is nothing to draw.
    """
    panels = len(curves.folded) + bool(curves.beats)
    if not panels:
        raise ValueError("this calibration has neither a fitted stream nor a beat test")
    figure = Figure(figsize=(WIDTH_IN, 1.0 + 2.7 * panels), layout="constrained")
    axes = figure.subplots(panels, 1, squeeze=False).ravel()
    for ax, folded in zip(axes, curves.folded, strict=False):
        _folded(ax, folded)
    if curves.beats:
        _beats(axes[-1], curves.beats)
    title(figure, "What the sensor does", subtitle=subtitle, origin=origin)
    return figure


def _folded(ax: Axes, folded: Folded) -> None:
    """Readings by phase of the wave; the load was on where the ground is shaded."""
    milli = [1e3 * phase for phase in folded.phase_s]
    ax.axvspan(0, 1e3 * folded.on_s, color=FOAM, linewidth=0, zorder=0, label="load on")
    ax.plot(milli, folded.reading_w, ".", color=WATER, markersize=4, markeredgewidth=0, label="readings", zorder=3)
    ax.plot(milli, folded.model_w, color=INK, linewidth=1.3, label="fitted model", zorder=4)
    ax.set_xlim(0, 1e3 * folded.period_s)
    ax.set_xlabel("time since the load went on (ms), all periods folded into one")
    ax.set_ylabel("power shown (W)")
    ax.set_title(_NAMES.get(folded.kind, folded.kind))
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _beats(ax: Axes, beats: tuple[BeatCurve, ...]) -> None:
    """Block means over time: a source that sees all of the time stays with the load's own share."""
    reference = beats[0]
    ax.plot(reference.times_s, reference.on_share, color=INK, linewidth=1.3, label="load on, true", zorder=4)
    ax.plot(reference.times_s, reference.part_time_share, color=MUTED, linestyle="--", linewidth=1.1, zorder=2,
            label="a part-time sum would show")  # fmt: skip
    for beat in beats:
        counts = beat.source == "energy_j"
        color = WATER if not counts else WARN if beat.verdict == PART else INK
        name = _NAMES.get(beat.source, beat.source)
        ax.plot(
            beat.times_s, beat.seen_share, "o" if counts else "s", color=color, markersize=4.5, label=name, zorder=5
        )
    low = min(min(b.seen_share + b.part_time_share) for b in beats)
    high = max(max(b.seen_share + b.part_time_share) for b in beats)
    ax.set_ylim(min(-0.05, low - 0.05), max(1.05, high + 0.05))
    ax.set_xlabel("time since the beat test began (s)")
    ax.set_ylabel("share of the swing")
    counter = next((b for b in beats if b.source == "energy_j"), None)
    said = f": the counter sees {counter.verdict}" if counter and counter.verdict != UNCLEAR else ""
    ax.set_title(f"beat test{said}")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
