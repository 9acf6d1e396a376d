"""analysis/beat.py: whether a counter sees all of the time, whenever in a refresh it would look."""

from __future__ import annotations

import numpy as np
import pytest

from energybench.analysis.beat import ALL, PART, beat_of_counter
from energybench.analysis.sensor_fit import StreamFit
from energybench.analysis.updates import Updates
from energybench.analysis.wave import Wave
from energybench.readings import ENERGY, POWER

REFRESH_S, SPAN_S, SWING_W = 0.1, 0.025, 200.0
WAVE = Wave.of([(t, t + 0.0508) for t in np.arange(0.0, 13.0, 0.1017).tolist()])
FIT = StreamFit(SPAN_S, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0, SWING_W, 0.0, 0.0, 100)


def updates(kind: str, times: np.ndarray, values: np.ndarray) -> Updates:
    return Updates(kind, times, values, np.arange(len(times)), REFRESH_S, 1e-5, True, 1e-3, 1e-4)


@pytest.mark.parametrize("moment", [0.0, 0.25, 0.5, 0.8])
def test_a_sum_of_samples_is_told_at_whatever_moment_of_a_refresh_they_are_taken(moment: float) -> None:
    """Half a refresh later than the fitted stream, a part-time sum swings against what it would have summed."""
    times = np.arange(0.5, 12.5, REFRESH_S)
    stream = updates(POWER, times, 100 + SWING_W * WAVE.share(times - SPAN_S, times))
    looked = times - moment * REFRESH_S
    sampled_j = np.cumsum((100 + SWING_W * WAVE.share(looked - SPAN_S, looked)) * REFRESH_S)
    all_j = 100 * times + SWING_W * WAVE.on_s(times)
    for joules, verdict, weight in ((sampled_j, PART, 1.0), (all_j, ALL, 0.0)):
        ticks = updates(ENERGY, times + 0.03, joules)
        beat = beat_of_counter(ticks, WAVE, stream, FIT, block_s=0.375, start_s=0.5, stop_s=12.5, delay_s=0.03)
        assert beat is not None
        assert beat.verdict == verdict
        assert beat.weight == pytest.approx(weight, abs=0.05)
