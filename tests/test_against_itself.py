"""A/A: a baseline against itself, as whole runs. The rate of false alarms is held by 2,000 in `test_coverage`."""

import numpy as np
from quiet import SMALL, Remembering, summary_of

from energybench.analysis.summary import summarize
from energybench.journal import load
from energybench.session import RunOptions, open_station, plan_study, run_study
from energybench.session.against_itself import self_test, self_test_lines
from energybench.suite import parse_suite


def test_only_the_baseline_is_measured_twice_as_work_of_its_own(tmp_path):
    summary = summary_of(tmp_path, against_itself=True, quick=True)
    assert set(summary.cases["variant"]) == {"FgGC g=8", "FgGC g=8 (again)"}
    assert summary.cases["work"].is_unique
    assert not summary.cases["energy_per_iteration_j"].duplicated().any()


def test_false_alarms_stay_at_their_nominal_rate_and_the_visible_difference_is_printed(tmp_path):
    alarms = comparisons = 0
    for seed in range(8):
        found = self_test(summary_of(tmp_path / str(seed), against_itself=True, seed=seed))
        alarms += found.false_alarms
        comparisons += found.comparisons
        assert found.largest_difference < 0.01
        assert 0 < found.smallest_visible < 0.01
    # Binomial with p = 0.05 over 16 pairs: more than 4 have a probability of 0.1 %; the seeds are fixed.
    assert comparisons == 16
    assert alarms <= 4
    text = "\n".join(self_test_lines(found))
    assert "exclude 1" in text
    assert "smallest difference" in text


def test_linear_drift_of_two_percent_does_not_show_in_the_difference(tmp_path):
    # The whole study takes about a minute of virtual time: 2 % over it.
    options = RunOptions(device=f"sim:h200,drift_per_s={0.02 / 60}", results=tmp_path, against_itself=True)
    differences, covered = [], []
    for seed in range(8):
        station = open_station(options)
        study = plan_study(parse_suite(SMALL), station, options)
        station.device._random = np.random.default_rng(seed)
        folder = run_study(study, station, options, Remembering())
        pairs = summarize(load(folder)).pairs
        pairs = pairs[(pairs["scope"] == "case") & (pairs["kind"] == "matched")]
        differences += (pairs["energy_ratio"] - 1).tolist()
        covered += ((pairs["energy_ratio_low"] <= 1) & (pairs["energy_ratio_high"] >= 1)).tolist()
    # Windows scatter by 0.14 % (speed and power, 0.1 % each): a ratio of 4 pairs of blocks by 0.14 % x sqrt(2 / 8).
    scatter = 0.0014 / np.sqrt(8) * np.sqrt(2) / np.sqrt(len(differences))
    assert abs(np.mean(differences)) < 4 * scatter
    assert np.sum(covered) >= len(covered) - 4  # of 16, as above
