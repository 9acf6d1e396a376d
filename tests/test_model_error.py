"""Predicted against measured: signed errors, MAPE, bias, rank correlation."""

import math

import pytest
from compare_example import SUITE, simulate, written

from energybench.analysis.model_error import Prediction, compare_with_model, score
from energybench.analysis.run_model import Expected, RunModel, run_model
from energybench.analysis.summary import summarize
from energybench.errors import RunFolderError
from energybench.machine import load_machine
from energybench.prediction import predict_suite
from energybench.suite import load_suite


def predicted(**latencies):
    """A run whose cases take 1, 2, 3, ... s, and a model that says they take the given times, to 10 % and 30 %."""
    names = {key: f"{key} | size={i}" for i, key in enumerate(latencies, start=1)}
    windows = {name: ([float(i)] * 2, [2.0 * i] * 2) for i, name in enumerate(names.values(), start=1)}
    rows = {names[key]: Expected(s, 2 * s, 0.1, 0.3) for key, s in latencies.items() if s is not None}
    bounds = {name: {"attainable_latency_s": 0.5 * i} for i, name in enumerate(names.values(), start=1)}
    return written(windows, rows=bounds), RunModel("a model", rows)


def test_the_error_is_predicted_over_measured_less_one():
    assert Prediction(measured=2.0, predicted=1.5).error == pytest.approx(-0.25)


def test_scores_of_known_predictions():
    # errors +10 %, -10 %, +20 %: MAPE 13.33 %; bias (1.1 x 0.9 x 1.2)^(1/3) - 1; same order, so rank correlation 1
    found = score("", "latency", [Prediction(1, 1.1), Prediction(2, 1.8), Prediction(3, 3.6)])
    assert found.mape == pytest.approx(0.4 / 3)
    assert found.bias == pytest.approx((1.1 * 0.9 * 1.2) ** (1 / 3) - 1)
    assert found.spearman == pytest.approx(1.0)


def test_a_reversed_order_has_rank_correlation_minus_one():
    assert score("", "energy", [Prediction(i, 5 - i) for i in range(1, 5)]).spearman == pytest.approx(-1.0)


@pytest.mark.parametrize("predictions", [[(1, 1), (2, 2)], [(1, 2), (2, 2), (3, 2)], [(2, 1), (2, 2), (2, 3)]])
def test_no_rank_correlation_is_printed_where_there_is_none(predictions):
    assert score("", "latency", [Prediction(*p) for p in predictions]).spearman is None


def test_every_case_has_its_errors_and_all_have_a_score():
    found = compare_with_model(*predicted(a=1.1, b=1.8, c=3.6))
    assert [row.latency.error for row in found.rows] == pytest.approx([0.1, -0.1, 0.2])
    assert [row.energy.error for row in found.rows] == pytest.approx([0.1, -0.1, 0.2])
    latency = {s.variant: s for s in found.scores if s.quantity == "latency"}
    assert set(latency) == {"a", "b", "c", ""}
    assert latency[""].mape == pytest.approx(0.4 / 3)
    assert latency["b"].mape == pytest.approx(0.1)


def test_the_error_a_model_states_stands_beside_the_one_it_has():
    found = compare_with_model(*predicted(a=1.1, b=1.8, c=3.6))
    stated = {s.quantity: s.expected_mape for s in found.scores if s.variant == ""}
    assert stated == {"latency": pytest.approx(0.1), "energy": pytest.approx(0.3)}


def test_the_roofline_is_scored_apart_as_a_bound():
    # half of every measured latency: error -50 % each, in the right order
    bound = compare_with_model(*predicted(a=1.1, b=1.8, c=3.6)).bound
    assert (bound.mape, bound.bias, bound.spearman) == pytest.approx((0.5, -0.5, 1.0))
    assert bound.expected_mape is None


def test_cases_that_are_the_same_work_count_once():
    summary, model = predicted(a=1.1, b=1.8, c=3.6)
    summary.cases.loc[1, ["work", "loop_latency_s"]] = summary.cases.loc[0, ["work", "loop_latency_s"]]
    alike = RunModel("a model", model.rows | {"b | size=2": model.rows["a | size=1"]})
    scores = compare_with_model(summary, alike).scores
    all_cases = next(s for s in scores if s.variant == "" and s.quantity == "latency")
    assert (all_cases.measurements, all_cases.mape) == (2, pytest.approx(0.15))


def test_a_case_without_a_prediction_is_named():
    found = compare_with_model(*predicted(a=1.1, b=None))
    assert [row.variant for row in found.rows] == ["a"]
    assert found.unmatched[0].name == "b | size=2"
    assert "not predicted" in found.unmatched[0].because


def test_a_run_without_a_machine_sheet_has_no_model_to_judge():
    summary, _ = predicted(a=None, b=None)
    with pytest.raises(RunFolderError, match="no machine sheet"):
        compare_with_model(summary, run_model(summary.run))


def test_a_prediction_is_not_judged_by_itself(tmp_path):
    (tmp_path / "small.yaml").write_text(SUITE)
    sheet = load_machine("h200")
    summary = summarize(predict_suite(load_suite(tmp_path / "small.yaml"), sheet, tmp_path / "run"))
    with pytest.raises(RunFolderError, match="itself a prediction"):
        compare_with_model(summary, run_model(summary.run))


def test_a_simulated_run_is_judged_by_what_predict_says_case_and_total(tmp_path):
    summary = simulate(tmp_path / "run")
    found = compare_with_model(summary, run_model(summary.run))
    said = summarize(predict_suite(load_suite(tmp_path / "run.yaml"), summary.machine, tmp_path / "model"))
    assert [row.scope for row in found.rows] == ["case"] * 4 + ["total"] * 2
    assert found.simulated
    assert "H200" in found.model
    assert "libraries" in found.model
    latencies_s = said.results.set_index("case")["loop_latency_s"]
    joules = said.results.set_index("case")["energy_per_inference_j"]
    for row in found.rows:
        assert row.latency.predicted == pytest.approx(latencies_s[row.name])
        assert row.energy.predicted == pytest.approx(joules[row.name])
    overall = next(s for s in found.scores if s.variant == "" and s.quantity == "energy")
    errors = {row.measurement: row.energy.error for row in found.rows if row.scope == "case"}
    assert overall.measurements == len(errors) == 3  # 32 groups of 128 channels are groups of 4
    assert overall.mape == pytest.approx(sum(map(abs, errors.values())) / 3)
    assert not math.isnan(overall.bias)
