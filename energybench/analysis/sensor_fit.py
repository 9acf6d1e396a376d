"""What does one power stream show of a load that went on and off? Span, delay and rise of a sensor, without a meter.

    reading k = off + swing x mean of the load over (u_k - delay - span, u_k - delay), then a first-order rise

The load's own edges are known, so its exact mean over any span is, and span and delay are what makes the model fit
best: on a grid first, so that no local optimum traps it, then by Nelder-Mead. Levels, and a slow drift of them as the
board warms up, are linear and solved for at every point. With an external meter's trace for the load, swing is the
sensor's gain and off its offset.

Source: model and procedure of `docs/derivations.md` 9, after Yang, Adámek, Armour (arXiv 2312.02741, section on the
averaging window), who fit z-scores folded by period; fitting against true edges and with a rise is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, signal

from energybench.analysis.updates import Updates
from energybench.analysis.wave import Load, Wave

LN9 = math.log(9.0)
"""10 to 90 % of a first-order response take ln 9 of its time constants."""
RISE_GAIN = 0.85
"""A rise is believed when it brings the squared misfit below this share of what span and delay alone reach."""
GRID = 26
COARSE = 900
SLOW_REFRESHES = 3.5
"""A stream that follows a step within fewer refreshes than this has no rise worth looking for."""
STEP_LEAST_S = 1.5
FEWEST_UPDATES = 12
USUAL_SHARES, USUAL_MEAN_S = (0.2, 0.25, 0.5, 1.0), 1.0
"""Spans that have been published: shares of the refresh, and 1 s (arXiv 2312.02741); only starts of the search."""
REACHED = 0.9


@dataclass(frozen=True)
class StreamFit:
    """What was found of one stream.

    Attributes:
        span_s: time one value averages over, with its 95 % half-width.
        delay_s: from the end of that span to the appearance of the value; slightly below 0 where edges come late.
        rise_s: 10-90 % time of a first-order response on top; 0 for none.
        off_w: power shown while the load is off.
        swing_w: how much more is shown while it is on.
        drift_w_per_s: slow change of both.
        misfit: root mean square of the residuals over the swing.
        used: updates that were fitted.
    """

    span_s: float
    span_halfwidth_s: float
    delay_s: float
    delay_halfwidth_s: float
    rise_s: float
    rise_halfwidth_s: float
    off_w: float
    swing_w: float
    drift_w_per_s: float
    misfit: float
    used: int

    def seen(self, updates: Updates, load: Load) -> np.ndarray:
        """[K] what the model shows at each update, before off and swing."""
        return _seen(updates, load, self.span_s, self.delay_s, self.rise_s)


def fit_stream(updates: Updates, load: Load, *, reach_s: float, groups: np.ndarray | None = None) -> StreamFit | None:
    """Span, delay and rise of a stream; None with fewer than twelve updates.

    Args:
        updates: what it published meanwhile.
        load: when the load was on, or what a meter saw.
        reach_s: how far back a reading may look, as from :func:`step_reach_s`.
        groups: [K] number of the group of each update, from 0 on: each group has levels of its own, since bursts of
            other lengths reach other powers. A wave of one period alone cannot tell a span from one a period longer;
            groups of several lengths can. Group 0's levels are reported.
    """
    if len(updates.values) < FEWEST_UPDATES:
        return None
    problem = _Problem(updates, load, reach_s, np.zeros(len(updates.values)) if groups is None else groups)
    box = problem.solve(problem.coarse())
    if reach_s < SLOW_REFRESHES * updates.refresh_s:
        return problem.result(box)
    risen = problem.solve(problem.coarse_with_rise())
    lasting = math.exp(risen[2]) * LN9 > 0.5 * updates.refresh_s
    better = problem.misfit(risen) < RISE_GAIN * problem.misfit(box)
    return problem.result(risen if lasting and better else box)


def step_reach_s(updates: Updates, wave: Wave) -> float | None:
    """Time from a step of the load until the stream shows 90 % of it, and one refresh; None without a long step."""
    found = []
    for before_s, start_s, stop_s in wave.steps(STEP_LEAST_S):
        values, times = updates.values, updates.times_s
        low = values[(times > max(before_s + 0.5 * (start_s - before_s), start_s - STEP_LEAST_S)) & (times <= start_s)]
        high = values[(times > start_s + 0.67 * (stop_s - start_s)) & (times <= stop_s)]
        during = (times > start_s) & (times <= stop_s)
        if not len(low) or not len(high):
            continue
        level = np.median(low) + REACHED * (np.median(high) - np.median(low))
        above = times[during & (values >= level)]
        if len(above):
            found.append(float(above[0]) - start_s)
    return float(np.median(found)) + updates.refresh_s if found else None


class _Problem:
    """The least-squares problem of one stream. Unknowns: log span, delay, and log time constant of the rise."""

    def __init__(self, updates: Updates, load: Load, reach_s: float, groups: np.ndarray) -> None:
        self.updates = updates
        self.load = load
        self.reach_s = reach_s
        self.member = groups[:, None] == np.unique(groups)[None, :]
        self.drift = updates.times_s - updates.times_s.mean()
        self.weights = 1.0 / np.maximum(np.abs(updates.values), 0.2 * np.abs(updates.values).max())
        self.everything = np.arange(len(updates.values))

    def coarse(self) -> list[tuple[float, ...]]:
        """The best starts on a grid of span and delay."""
        return self._best([(math.log(w), d) for w in self._spans() for d in self._delays()], 5)

    def coarse_with_rise(self) -> list[tuple[float, ...]]:
        """The same with a rise; fewer of each."""
        rises = np.geomspace(0.3 * self.updates.refresh_s, self.reach_s, 6) / LN9
        spans, delays = self._spans()[::3], self._delays()[::3]
        return self._best([(math.log(w), d, math.log(r)) for w in spans for d in delays for r in rises], 4)

    def solve(self, starts: list[tuple[float, ...]]) -> np.ndarray:
        """The best of Nelder-Mead from several starts."""
        step = [0.1, 0.05 * self.reach_s, 0.2]
        found = []
        for start in starts:
            simplex = np.array([start] + [_moved(start, i, step[i]) for i in range(len(start))])
            options = {"initial_simplex": simplex, "maxfev": 400, "xatol": 1e-5, "fatol": 1e-12}
            found.append(optimize.minimize(self.misfit, start, method="Nelder-Mead", options=options))
        return np.asarray(min(found, key=lambda r: float(r.fun)).x)

    def misfit(self, unknowns: np.ndarray | tuple[float, ...]) -> float:
        """Mean squared weighted residual; large outside the possible."""
        span_s, delay_s, rise_s = _named(unknowns)
        if not (0.0 < span_s < 2.5 * self.reach_s and -0.5 * self.updates.refresh_s < delay_s < 1.5 * self.reach_s):
            return 1e3
        residuals, _ = self._residuals(self.everything, span_s, delay_s, rise_s)
        return float(np.mean(residuals**2))

    def result(self, unknowns: np.ndarray) -> StreamFit:
        """Estimates with half-widths from the curvature, widened for correlated residuals."""
        span_s, delay_s, rise_s = _named(unknowns)
        residuals, levels = self._residuals(self.everything, span_s, delay_s, rise_s)
        widths = self._halfwidths(unknowns, residuals)
        plain = residuals / self.weights
        return StreamFit(
            span_s=span_s,
            span_halfwidth_s=widths[0] * span_s,
            delay_s=delay_s,
            delay_halfwidth_s=widths[1],
            rise_s=rise_s,
            rise_halfwidth_s=widths[2] * rise_s if rise_s else 0.0,
            off_w=float(levels[1]),
            swing_w=float(levels[1 + self.member.shape[1]]),
            drift_w_per_s=float(levels[0]),
            misfit=float(np.sqrt(np.mean(plain**2))) / max(float(np.abs(levels[1 + self.member.shape[1]])), 1e-9),
            used=len(plain),
        )

    def _halfwidths(self, unknowns: np.ndarray, residuals: np.ndarray) -> np.ndarray:
        columns = []
        for i in range(len(unknowns)):
            step = 0.01 if i != 1 else 0.01 * self.reach_s
            ends = []
            for sign in (1, -1):
                named = _named(_moved(tuple(unknowns), i, sign * step))
                ends.append(self._residuals(self.everything, *named)[0])
            columns.append((ends[0] - ends[1]) / (2 * step))
        jacobian = np.column_stack(columns)
        centred = residuals - residuals.mean()
        lag = float(np.clip(centred[1:] @ centred[:-1] / max(float(centred @ centred), 1e-300), 0.0, 0.95))
        variance = float(residuals @ residuals) / max(len(residuals) - len(unknowns) - 3, 1) * (1 + lag) / (1 - lag)
        covariance = np.linalg.pinv(jacobian.T @ jacobian) * variance
        return 1.96 * np.sqrt(np.maximum(np.diag(covariance), 0.0))

    def _residuals(
        self, chosen: np.ndarray, span_s: float, delay_s: float, rise_s: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weighted residuals of some updates; and drift, off of each group, swing of each group."""
        seen = _seen(self.updates.part(chosen), self.load, span_s, delay_s, rise_s)
        member = self.member[chosen]
        design = np.column_stack([self.drift[chosen], member, member * seen[:, None]]) * self.weights[chosen, None]
        target = self.updates.values[chosen] * self.weights[chosen]
        levels = np.linalg.lstsq(design.T @ design, design.T @ target, rcond=None)[
            0
        ]  # few columns: fast and one thread
        return target - design @ levels, levels

    def _best(self, starts: Sequence[tuple[float, ...]], count: int) -> list[tuple[float, ...]]:
        """The best start of each span, the best of those; judged by a stretch from the middle, where waves change."""
        first = max(len(self.everything) - COARSE, 0) // 2
        few = self.everything[first : first + COARSE]
        best: dict[float, tuple[float, tuple[float, ...]]] = {}
        for start in starts:
            residuals, _ = self._residuals(few, *_named(start))
            scored = (float(residuals @ residuals), start)
            best[start[0]] = min(best.get(start[0], scored), scored)
        return [start for _, start in sorted(best.values())[:count]]

    def _spans(self) -> np.ndarray:
        """Spread evenly, and the spans that sensors usually have, whose optimum can be narrow."""
        refresh_s = self.updates.refresh_s
        even = np.geomspace(max(0.05 * refresh_s, 1e-3), 1.3 * self.reach_s, GRID)
        usual = [s for s in (*(share * refresh_s for share in USUAL_SHARES), USUAL_MEAN_S) if s < 1.3 * self.reach_s]
        return np.concatenate([even, usual])

    def _delays(self) -> np.ndarray:
        return np.linspace(-0.05 * self.updates.refresh_s, self.reach_s, GRID)


def _seen(updates: Updates, load: Load, span_s: float, delay_s: float, rise_s: float) -> np.ndarray:
    """[K] the load's mean over the span of each update, after the rise where there is one."""
    if not rise_s:
        return load.share(updates.times_s - delay_s - span_s, updates.times_s - delay_s)
    slots = (updates.slots - updates.slots[0]).astype(int)
    every = np.arange(slots[-1] + 1)
    ends = np.interp(every, slots, updates.times_s) - delay_s
    kept = math.exp(-updates.refresh_s * LN9 / rise_s)
    means = load.share(ends - span_s, ends)
    risen = signal.lfilter([1 - kept], [1, -kept], means, zi=[kept * means[0]])[0]
    return np.asarray(risen[slots])


def _named(unknowns: np.ndarray | tuple[float, ...]) -> tuple[float, float, float]:
    rise_s = math.exp(unknowns[2]) * LN9 if len(unknowns) > 2 else 0.0
    return math.exp(unknowns[0]), float(unknowns[1]), rise_s


def _moved(start: tuple[float, ...], index: int, step: float) -> tuple[float, ...]:
    return tuple(value + step * (i == index) for i, value in enumerate(start))
