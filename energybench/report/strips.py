"""What did the meter show while each case ran, small enough for a row of a table? Power over time as one SVG path."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from energybench.analysis.measured import sound_readings
from energybench.journal import Run, WindowRecord
from energybench.readings import ENERGY, POWER_KINDS, Reading
from energybench.report.places import spread_over

WIDTH, HEIGHT = 160, 50
"""Of the drawing, in its own units: time across, power up from 0 W to the most of the run."""
BINS = 32
GAP = 2
"""Between two windows, in units of width."""
WINDOWS_AT_MOST = 8

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Strip:
    """Board power while one case ran, all its windows side by side.

    Attributes:
        path: SVG path data in a box of ``WIDTH`` x ``HEIGHT``; every window is a line of its own.
        low_w: least mean power of a bin.
        high_w: most.
        windows: how many windows are shown; of many, some spread evenly.
        shown_s: their time together.
    """

    path: str
    low_w: float
    high_w: float
    windows: int
    shown_s: float


def strips(run: Run) -> tuple[dict[str, Strip], float]:
    """A strip by case id, and the watts at the top of all of them.

    Cases that share a measurement share its strip. Windows whose readings are damaged on the disk are left out, and
    so are cases of which no reading is left.
    """
    shown = {key: spread_over(windows, WINDOWS_AT_MOST) for key, windows in _windows(run).items()}
    curves = {key: [c for c in (_curve(run, w) for w in windows) if c] for key, windows in shown.items()}
    binned = {key: [_binned(c, max(4, BINS // len(found))) for c in found] for key, found in curves.items() if found}
    top_w = max((w for found in binned.values() for curve in found for _, w in curve), default=0.0)
    drawn = {key: _strip(found, top_w) for key, found in binned.items()} if top_w > 0 else {}
    keys = {case.id: (run.record.measured_as.get(case.comparison, case.comparison), case.work)
            for case in run.record.cases}  # fmt: skip
    return {case: drawn[key] for case, key in keys.items() if key in drawn}, top_w


def _windows(run: Run) -> dict[tuple[str, str], list[WindowRecord]]:
    found: dict[tuple[str, str], list[WindowRecord]] = {}
    for window in run.windows:
        if window.kind == "window" and window.readings is not None:
            found.setdefault((window.comparison, window.work), []).append(window)
    return found


def _curve(run: Run, window: WindowRecord) -> Curve:
    """(Seconds since the loop began, watts) of one window, from its fastest kind of reading, else from the counter."""
    _, readings = sound_readings(run, window)
    inside = [r for r in readings if window.start_s <= r.time_s <= window.stop_s]
    kinds = {r.kind for r in inside}
    best = next((kind for kind in POWER_KINDS if kind in kinds), None)
    points = _counted(inside) if best is None else ((r.time_s, r.value) for r in inside if r.kind == best)
    return [(time_s - window.start_s, power_w) for time_s, power_w in points]


def _counted(readings: Iterable[Reading]) -> Iterator[tuple[float, float]]:
    """Mean power between two ticks of the energy counter, at the later one."""
    ticks = [next(same) for _, same in itertools.groupby((r for r in readings if r.kind == ENERGY), lambda r: r.value)]
    for before, after in pairwise(ticks):
        if after.time_s > before.time_s and after.value > before.value:
            yield after.time_s, (after.value - before.value) / (after.time_s - before.time_s)


def _binned(curve: Curve, bins: int) -> Curve:
    """Means over ``bins`` equal stretches of time; stretches without a reading have none."""
    last_s = curve[-1][0] or 1.0
    found: dict[int, list[tuple[float, float]]] = {}
    for time_s, power_w in curve:
        found.setdefault(min(bins - 1, int(bins * time_s / last_s)), []).append((time_s, power_w))
    return [(_mean(t for t, _ in part), _mean(w for _, w in part)) for part in found.values()]


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)


def _strip(curves: Sequence[Curve], top_w: float) -> Strip:
    lengths = [curve[-1][0] for curve in curves]
    total_s = sum(lengths)
    scale = (WIDTH - GAP * (len(curves) - 1)) / total_s if total_s > 0 else 0.0
    parts, left = [], 0.0
    for curve, length_s in zip(curves, lengths, strict=True):
        points = [(round(left + scale * t), round(HEIGHT * (1 - w / top_w))) for t, w in curve]
        steps = (f"{x1 - x0} {y1 - y0}" for (x0, y0), (x1, y1) in pairwise(points))
        parts.append(f"M{points[0][0]} {points[0][1]}l{' '.join(steps) or '1 0'}")
        left += scale * length_s + GAP
    watts = [w for curve in curves for _, w in curve]
    return Strip("".join(parts), min(watts), max(watts), len(curves), total_s)
