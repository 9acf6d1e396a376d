"""What does an energy counter show of a load that went on and off? Its tick, delay and step, and whether it moves.

    total at tick j  =  start + off x t_j + swing x (seconds the load had been on by t_j - delay)

Source: `docs/derivations.md` 9; the delay by least squares against the known edges is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from energybench.analysis.updates import Updates
from energybench.analysis.wave import Wave

STEPS_J = (1.0, 0.1, 0.01, 1e-3, 1e-4, 2.0**-14, 1e-5, 1e-6)
STALE_TICKS = 20
"""A counter that has not moved for this many of its ticks stands still."""
FEWEST_TICKS = 12


@dataclass(frozen=True)
class CounterFit:
    """What was found of a counter.

    Attributes:
        tick_s: time between two totals, with its 95 % half-width.
        delay_s: from the moment a total holds for to its appearance; None where it cannot be told.
        resolution_j: step of the shown number.
        off_w: power it shows with the load off.
        swing_w: how much more with the load on.
        misfit_w: root mean square of the increments' residuals, as power.
        froze_s: since when it stands still; None while it moves.
        ticks: how many were seen.
    """

    tick_s: float
    tick_halfwidth_s: float
    delay_s: float | None
    resolution_j: float
    off_w: float
    swing_w: float
    misfit_w: float
    froze_s: float | None
    ticks: int


def fit_counter(ticks: Updates, wave: Wave, *, last_s: float, start_s: float, stop_s: float) -> CounterFit:
    """Tick, delay and step of the counter.

    Args:
        ticks: its totals (J) as they appeared.
        wave: when the load was on.
        last_s: when it was read last.
        start_s: from here on its levels and delay are fitted: a stretch with short bursts and a long step, since a
            wave of one period alone tells the delay only up to that period.
        stop_s: up to here.
    """
    froze = last_s - ticks.times_s[-1] > STALE_TICKS * ticks.refresh_s
    waving = ticks.part(ticks.between(start_s, stop_s))
    enough = not froze and len(waving.values) >= FEWEST_TICKS
    delay_s, levels, misfit_w = _delay(waving, wave) if enough else (0.0, np.zeros(2), math.inf)
    return CounterFit(
        tick_s=ticks.refresh_s,
        tick_halfwidth_s=ticks.refresh_halfwidth_s,
        delay_s=delay_s if enough else None,
        resolution_j=_resolution_j(ticks.values),
        off_w=float(levels[0]),
        swing_w=float(levels[1]),
        misfit_w=misfit_w,
        froze_s=float(ticks.times_s[-1]) if froze else None,
        ticks=len(ticks.values),
    )


def counter_power_w(ticks: Updates, start_s: float, stop_s: float) -> float | None:
    """Mean power between the first and the last tick of a stretch; None with fewer than two."""
    chosen = np.flatnonzero(ticks.between(start_s, stop_s))
    if len(chosen) < 2:
        return None
    first, last = chosen[0], chosen[-1]
    return float((ticks.values[last] - ticks.values[first]) / (ticks.times_s[last] - ticks.times_s[first]))


def counter_powers(ticks: Updates) -> Updates:
    """The mean power between each tick and the one before: a power stream without noise, for what changes slowly."""
    power_w = np.diff(ticks.values) / np.diff(ticks.times_s)
    return replace(ticks.part(slice(1, None)), values=power_w)


def _delay(ticks: Updates, wave: Wave) -> tuple[float, np.ndarray, float]:
    lengths = np.diff(ticks.times_s)

    def fitted(delay_s: float) -> tuple[float, np.ndarray]:
        on_s = np.diff(wave.on_s(ticks.times_s - delay_s))
        design = np.column_stack([lengths, on_s])
        levels = np.linalg.lstsq(design, np.diff(ticks.values), rcond=None)[0]
        residuals = (np.diff(ticks.values) - design @ levels) / lengths
        squared = float(np.mean(residuals**2)) if levels[1] > 0 else math.inf  # half a period late, upside down
        return squared, levels

    grid = np.linspace(-0.5 * ticks.refresh_s, 4 * ticks.refresh_s, 46)
    start = float(min(grid, key=lambda d: fitted(d)[0]))
    width = float(grid[1] - grid[0])
    found = optimize.minimize_scalar(lambda d: fitted(d)[0], bounds=(start - width, start + width), method="bounded")
    squared, levels = fitted(float(found.x))
    return max(float(found.x), 0.0), levels, math.sqrt(squared)


def _resolution_j(values: np.ndarray) -> float:
    """The coarsest usual step that all differences are multiples of; the finest where none fits."""
    steps = np.diff(values)
    for step in STEPS_J:
        multiples = steps / step
        if np.all(np.abs(multiples - np.rint(multiples)) < 1e-3):
            return step
    return STEPS_J[-1]
