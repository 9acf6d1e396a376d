"""analysis/correlated.py: the mean of correlated readings, and how far and how much alike they scatter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from energybench.analysis.correlated import correlated_mean, scatter

SEEDS = 150


def test_a_mean_of_correlated_readings_is_worth_as_many_as_its_variance_says() -> None:
    """Two readings correlated by phi: variance (1 + phi) / 2 of one, so 2 / (1 + phi) of them; many: n / tau."""
    two = correlated_mean(np.arange(2.0), np.array([1.0, 2.0]), np.ones(2), 0.5)
    assert two.effective == pytest.approx(2 / 1.5)
    assert two.value == 1.5
    many = correlated_mean(np.arange(1000.0), np.arange(1000.0), np.ones(1000), 0.5)
    assert many.effective == pytest.approx(1000 / 3, rel=0.01)
    assert correlated_mean(np.zeros(1), np.array([7.0]), np.ones(1), 0.0).own_halfwidth == math.inf


@pytest.mark.parametrize(("correlation", "count"), [(0.2, 300), (0.3, 80), (0.5, 118), (0.8, 110), (0.8, 590)])
def test_noise_and_correlation_of_a_short_series_are_right_on_average(correlation: float, count: int) -> None:
    """On a slow warming, with a tenth of the readings lost. Standard errors are those of a first-order autoregression.

    ln(c sqrt(tau)) is known from one series to hypot(1 / sqrt(2 N), sd(phi) / (1 - phi)), sd(phi)^2 = (1 - phi^2) / N,
    and more roughly from few correlated ones, hence half as much again; its mean over the seeds to that over their
    root, and 4 % for what the likelihood's skewness leaves.
    """
    random = np.random.default_rng(20261202)
    of_phi = math.sqrt((1 - correlation**2) / count)
    of_mean = math.hypot(math.sqrt(0.5 / count), of_phi / (1 - correlation))
    kept = np.arange(count) % 10 != 3
    steps = random.standard_normal((SEEDS, count + 200))
    noise = lfilter([math.sqrt(1 - correlation**2)], [1, -correlation], steps, axis=1)[:, 200:]
    found = [scatter(np.arange(count)[kept], (300 + 0.01 * np.arange(count) + row)[kept]) for row in np.asarray(noise)]
    tau = (1 + correlation) / (1 - correlation)
    logs = np.array(
        [math.log(s.deviation) + 0.5 * math.log((1 + s.correlation) / (1 - s.correlation) / tau) for s in found]
    )
    assert abs(logs.mean()) < 3 * 1.5 * of_mean / math.sqrt(SEEDS) + 0.04
    assert np.mean([s.deviation for s in found]) == pytest.approx(1, abs=0.05)
    assert np.mean([s.correlation for s in found]) == pytest.approx(correlation, abs=0.3 * of_phi + 0.01)
    held = {
        "deviation": np.mean([abs(s.deviation - 1) <= s.deviation_halfwidth for s in found]),
        "correlation": np.mean([abs(s.correlation - correlation) <= s.correlation_halfwidth for s in found]),
        "upper limit": np.mean([log + math.log(s.margin) >= 0 for log, s in zip(logs, found, strict=True)]),
    }
    assert all(0.86 <= share <= 1 for share in held.values()), held  # of 95 %; 150 seeds tell 1.8 % of it


def test_readings_that_repeat_exactly_or_hardly_scatter_do_no_harm() -> None:
    assert scatter(np.arange(20.0), np.full(20, 300.0) + np.linspace(0, 1, 20)).deviation < 1e-6
