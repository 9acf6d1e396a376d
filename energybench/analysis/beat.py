"""Does a source see all of the time? The beat test: a wave whose period is a little off the sensor's refresh.

Its phase slides slowly through the sensor's span. A source that sees all of the time shows the same mean in every
block of about half a second; one that adds up part-time samples swings with the slide. What a part-time sum would have
shown is computed from the fitted stream, so the test says how much of that swing the counter really has. When in a
refresh a counter's samples were taken is not known: it may add up another stream, or come later. So the moment is
fitted, too; with a wrong one, a part-time sum seems to have nothing of the swing.

Source: ours (`docs/derivations.md` 9); the share of the part-time swing is fitted by least squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from energybench.analysis.sensor_fit import StreamFit
from energybench.analysis.updates import Updates
from energybench.analysis.wave import Wave

LEAST_CONTRAST = 0.03
"""Below this spread of block means (in shares of the swing) part-time and true cannot be told apart."""
NARROW = 0.1
"""A sampler that sees this share of the refresh is what a wave must be able to expose, to say anything of a counter
whose power stream sees all of the time itself."""
EXPOSING = 0.1
FEWEST_BLOCKS = 6
MOMENTS = 25
"""Moments of a refresh that are tried: a slide of twenty blocks or so does not tell closer ones apart."""
ALL, PART, UNCLEAR = "all of the time", "part of the time", "cannot tell"
PART_ABOVE, ALL_BELOW = 0.7, 0.3


@dataclass(frozen=True)
class Beat:
    """What the blocks of a beat test show.

    Attributes:
        times_s: [B] middle of each block.
        on_share: [B] share of the block that the load was on.
        seen_share: [B] what the source showed, as a share of its swing.
        part_time_share: [B] what a sum of part-time samples would have shown.
        weight: share of the part-time swing that is in the source: 0 sees all, 1 is part-time.
        weight_halfwidth: its 95 % half-width.
        contrast: standard deviation over blocks that a part-time sum would show.
        spread: standard deviation over blocks that the source showed.
        verdict: ``all of the time``, ``part of the time`` or ``cannot tell``.
    """

    times_s: np.ndarray
    on_share: np.ndarray
    seen_share: np.ndarray
    part_time_share: np.ndarray
    weight: float
    weight_halfwidth: float
    contrast: float
    spread: float
    verdict: str


def beat_of_counter(
    ticks: Updates,
    wave: Wave,
    stream: Updates,
    fit: StreamFit,
    *,
    block_s: float,
    start_s: float,
    stop_s: float,
    delay_s: float = 0.0,
) -> Beat | None:
    """Judge an energy counter.

    Args:
        ticks: its totals (J) as they appeared.
        wave: when the load was on.
        stream: updates of the power stream that it may be adding up.
        fit: what that stream was found to do; its swing is the unit (a few percent of gain do not matter here).
        block_s: least length of a block.
        start_s: begin of the test.
        stop_s: its end.
        delay_s: of the counter.

    Returns:
        None with fewer than six blocks.
    """
    chosen = np.flatnonzero(ticks.between(start_s, stop_s))
    marks = _marks(ticks.times_s[chosen], block_s)
    if len(marks) < FEWEST_BLOCKS + 1 or not fit.swing_w:
        return None
    times, joules = ticks.times_s[chosen][marks], ticks.values[chosen][marks]
    truth = wave.share(times[:-1] - delay_s, times[1:] - delay_s)
    return _judged(times, truth, np.diff(joules) / np.diff(times), stream, wave, fit)


def beat_of_stream(
    stream: Updates, wave: Wave, fit: StreamFit, *, block_s: float, start_s: float, stop_s: float
) -> Beat | None:
    """Judge a power stream's mean in the same way; None with fewer than six blocks."""
    chosen = np.flatnonzero(stream.between(start_s, stop_s))
    times, values = stream.times_s[chosen], stream.values[chosen]
    marks = _marks(times, block_s)
    if len(marks) < FEWEST_BLOCKS + 1 or not fit.swing_w:
        return None
    edges = times[marks]
    power_w = np.array([values[a + 1 : b + 1].mean() for a, b in pairwise(marks)])
    truth = wave.share(edges[:-1] - fit.delay_s, edges[1:] - fit.delay_s)
    return _judged(edges, truth, power_w, stream, wave, fit)


def _marks(times: np.ndarray, block_s: float) -> np.ndarray:
    """Indices of updates that bound blocks of at least ``block_s``."""
    found: list[int] = []
    for index, time_s in enumerate(times):
        if not found or time_s - times[found[-1]] >= block_s:
            found.append(index)
    return np.array(found, dtype=int)


def _sampled(edges: np.ndarray, wave: Wave, stream: Updates, delay_s: float, span_s: float) -> np.ndarray:
    """[B] mean over a block of what each update sees with this span, missing ones included."""
    slots = np.arange(int(stream.slots[0]), int(stream.slots[-1]) + 1)
    times = np.interp(slots, stream.slots, stream.times_s)
    seen = wave.share(times - delay_s - span_s, times - delay_s)
    totals = np.concatenate(([0.0], np.cumsum(seen)))
    at = np.searchsorted(times, edges + 1e-9, side="right")
    counts = np.maximum(np.diff(at), 1)
    mean: np.ndarray = np.diff(totals[at]) / counts
    return mean


def _fitted(expected: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Share of what is expected in what was found, at least none, and the sum of the squares it leaves."""
    centred = expected - expected.mean()
    power = float(centred @ centred)
    weight = max(float(centred @ found) / power, 0.0) if power > 0 else 0.0
    return weight, float(((found - weight * centred) ** 2).sum())


def _judged(
    edges: np.ndarray, truth: np.ndarray, power_w: np.ndarray, stream: Updates, wave: Wave, fit: StreamFit
) -> Beat:
    """Only how blocks differ counts: their mean level is set to the load's."""
    seen = truth.mean() + (power_w - power_w.mean()) / fit.swing_w
    found = seen - truth
    found = found - found.mean()
    delays_s = fit.delay_s + stream.refresh_s * np.arange(MOMENTS) / MOMENTS
    tried = [_sampled(edges, wave, stream, delay_s, fit.span_s) for delay_s in delays_s.tolist()]
    sampled = min(tried, key=lambda sum_of: _fitted(sum_of - truth, found)[1])
    if _fitted(sampled - truth, found)[0] < ALL_BELOW:
        sampled = tried[0]  # of no swing no moment can be told: when the fitted stream looks
    expected = sampled - truth
    contrast, spread = float(expected.std()), float(found.std())
    weight, squares = _fitted(expected, found)
    power = float(((expected - expected.mean()) ** 2).sum())
    halfwidth = 1.96 * math.sqrt(squares / (len(found) - 2) / power) if power > 0 else math.inf
    narrow = _sampled(edges, wave, stream, fit.delay_s, NARROW * stream.refresh_s) - truth
    if contrast < LEAST_CONTRAST:
        verdict = ALL if spread < LEAST_CONTRAST and float(narrow.std()) > EXPOSING else UNCLEAR
    elif weight - halfwidth > PART_ABOVE:
        verdict = PART
    else:
        verdict = ALL if weight + halfwidth < ALL_BELOW else UNCLEAR
    middle = 0.5 * (edges[:-1] + edges[1:])
    return Beat(middle, truth, seen, sampled, weight, halfwidth, contrast, spread, verdict)
