"""Does a source see all of the time? The beat test: a wave whose period is a little off the sensor's refresh.

Its phase slides slowly through the sensor's span. A source that sees all of the time shows the same mean in every
block of about half a second; one that adds up part-time samples swings with the slide. What a part-time sum would have
shown is computed from the fitted stream, so the test says how much of that swing the counter really has.

Source: the test is `measurement.md` 2.4 (ours); fitting the share of the part-time swing by least squares is new here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from energybench.analysis.sensor_fit import StreamFit
from energybench.analysis.updates import Updates
from energybench.analysis.wave import Wave

LEAST_CONTRAST = 0.03
"""Below this spread of block means (in shares of the swing) part-time and true cannot be told apart."""
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
    ticks: Updates, wave: Wave, stream: Updates, fit: StreamFit, *, levels_w: tuple[float, float], block_s: float,
    start_s: float, stop_s: float, delay_s: float = 0.0,
) -> Beat | None:
    """Judge an energy counter.

    Args:
        ticks: its totals (J) as they appeared.
        wave: when the load was on.
        stream: updates of the power stream that it may be adding up.
        fit: what that stream was found to do.
        levels_w: power that the counter itself shows with the load off and on.
        block_s: least length of a block.
        start_s: begin of the test.
        stop_s: its end.
        delay_s: of the counter.

    Returns:
        None with fewer than six blocks.
    """
    chosen = np.flatnonzero(ticks.between(start_s, stop_s))
    marks = _marks(ticks.times_s[chosen], block_s)
    off_w, on_w = levels_w
    if len(marks) < 7 or on_w <= off_w:
        return None
    times, joules = ticks.times_s[chosen][marks], ticks.values[chosen][marks]
    power_w = np.diff(joules) / np.diff(times)
    seen = (power_w - off_w) / (on_w - off_w)
    truth = wave.share(times[:-1] - delay_s, times[1:] - delay_s)
    return _judged(times, truth, seen, _sampled(times, wave, stream, fit))


def beat_of_stream(
    stream: Updates, wave: Wave, fit: StreamFit, *, block_s: float, start_s: float, stop_s: float
) -> Beat | None:
    """Judge a power stream's mean in the same way; None with fewer than six blocks."""
    chosen = np.flatnonzero(stream.between(start_s, stop_s))
    times, values = stream.times_s[chosen], stream.values[chosen]
    marks = _marks(times, block_s)
    if len(marks) < 7 or not fit.swing_w:
        return None
    level = fit.off_w + fit.drift_w_per_s * (times - stream.times_s.mean())
    shares = (values - level) / fit.swing_w
    seen = np.array([shares[a + 1 : b + 1].mean() for a, b in zip(marks[:-1], marks[1:], strict=True)])
    edges = times[marks]
    truth = wave.share(edges[:-1] - fit.delay_s, edges[1:] - fit.delay_s)
    return _judged(edges, truth, seen, _sampled(edges, wave, stream, fit))


def _marks(times: np.ndarray, block_s: float) -> np.ndarray:
    """Indices of updates that bound blocks of at least ``block_s``."""
    found: list[int] = []
    for index, time_s in enumerate(times):
        if not found or time_s - times[found[-1]] >= block_s:
            found.append(index)
    return np.array(found, dtype=int)


def _sampled(edges: np.ndarray, wave: Wave, stream: Updates, fit: StreamFit) -> np.ndarray:
    """[B] mean over a block of what each update saw, missing ones included."""
    slots = np.arange(int(stream.slots[0]), int(stream.slots[-1]) + 1)
    times = np.interp(slots, stream.slots, stream.times_s)
    seen = wave.share(times - fit.delay_s - fit.span_s, times - fit.delay_s)
    totals = np.concatenate(([0.0], np.cumsum(seen)))
    at = np.searchsorted(times, edges + 1e-9, side="right")
    counts = np.maximum(np.diff(at), 1)
    mean: np.ndarray = np.diff(totals[at]) / counts
    return mean


def _judged(edges: np.ndarray, truth: np.ndarray, seen: np.ndarray, sampled: np.ndarray) -> Beat:
    expected, found = sampled - truth, seen - truth
    expected, found = expected - expected.mean(), found - found.mean()
    power = float(expected @ expected)
    contrast = float(expected.std())
    weight = float(expected @ found) / power if power > 0 else 0.0
    residuals = found - weight * expected
    degrees = max(len(found) - 2, 1)
    halfwidth = 1.96 * math.sqrt(float(residuals @ residuals) / degrees / power) if power > 0 else math.inf
    if contrast < LEAST_CONTRAST or halfwidth > 0.5 * (PART_ABOVE - ALL_BELOW) + 0.1:
        verdict = UNCLEAR
    else:
        verdict = PART if weight > PART_ABOVE else ALL if weight < ALL_BELOW else UNCLEAR
    middle = 0.5 * (edges[:-1] + edges[1:])
    return Beat(middle, truth, seen, sampled, weight, halfwidth, contrast, float(found.std()), verdict)
