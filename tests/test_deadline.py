"""A budget is kept within about a window, however long an iteration is, and holds a window wherever one fits."""

import re
import tempfile

import pytest
from quiet import SMALL, Remembering, measured

from energybench.analysis.summary import summarize
from energybench.devices import samples_in
from energybench.devices.open import open_meter_for
from energybench.devices.simulated import SimulatedDevice
from energybench.errors import CaseError
from energybench.isolation import FIRST, NEXT, Step
from energybench.journal import load
from energybench.planner import MIN_ITERATIONS
from energybench.session import ComparisonDone, run_study
from energybench.session.study import RunOptions, Station, plan_study
from energybench.suite import parse_suite

LONG = """
name: long
baseline: a
variants:
  a: {layer: "torch.nn:Linear", args: {in_features: 16384, out_features: 16384, bias: false}}
input: [$batch, 16384]
axes: {batch: [BATCH]}
"""


def of_batch(batch):
    return LONG.replace("BATCH", str(batch))


def end_s(run):
    return max((w.stop_s for w in run.windows), default=0.0)


def kinds(run):
    return [w.kind for w in run.windows]


@pytest.mark.parametrize("budget_s", [20.0, 60.0])
@pytest.mark.parametrize(("batch", "precision"), [(64, 1e-4), (4096, 0.01), (32768, 0.01)])
def test_a_budget_is_kept_and_used_whatever_an_iteration_takes(tmp_path, batch, precision, budget_s):
    folder, study = measured(tmp_path, of_batch(batch), device="sim:t4", budget_s=budget_s, precision=precision)
    run = load(folder)
    (latency_s,) = (truth["latency_s"] for work, truth in run.record.truth.items() if work != "constants")
    window_s = study.plan.loop_s + max(0.0, MIN_ITERATIONS * latency_s - study.plan.window_s) + latency_s
    assert end_s(run) < budget_s + min(window_s, 0.05 * budget_s) + 0.1
    # Preparing takes a twentieth of a second of a simulated board, and looping at least an iteration.
    assert ("window" in kinds(run)) == (window_s + 0.1 + latency_s < budget_s)
    if "window" not in kinds(run):
        (case,) = summarize(run).cases.to_dict("records")
        assert case["status"] == "missing"
        assert case["reason"].startswith("the budget ended before its first window")


def test_a_window_that_is_longer_than_the_budget_is_said_to_be(tmp_path):
    progress = Remembering()
    measured(tmp_path, of_batch(32768), device="sim:t4", budget_s=20.0, progress=progress)
    said = "a window takes about {} s and the whole budget is 20 s"
    assert any(said.format(round(float(re.search(r"about (\d+) s", note)[1]))) in note for note in progress.notes)


def test_comparisons_for_which_nothing_is_left_are_not_begun(tmp_path):
    """Six windows of each work of one comparison take about as long as the whole budget of 8 s."""
    progress = Remembering()
    folder, study = measured(tmp_path, budget_s=8.0, precision=1e-4, progress=progress)
    run = load(folder)
    begun, left = (c.id for c in study.comparisons)
    assert {w.comparison for w in run.windows if w.kind not in ("idle", "stopped")} == {begun}
    assert run.record.stopped == {begun: "budget", left: "budget"}
    assert end_s(run) < 1.05 * 8.0
    again, _ = measured(tmp_path, budget_s=8.0, precision=1e-4)
    assert again == folder, "what a budget cut off is gone on with"


def test_a_board_that_never_stands_still_takes_no_window_from_a_budget(tmp_path):
    folder, study = measured(tmp_path, device="sim:h200,drift_per_s=0.005", budget_s=40.0)
    run = load(folder)
    counted = [w for w in run.windows if w.kind == "window"]
    assert {w.work for w in counted} >= {work.work for work in study.comparisons[0].works}
    assert end_s(run) < 1.05 * 40.0


def test_what_is_left_of_the_budget_of_a_suite_is_spent_too(tmp_path):
    text = SMALL.replace("analytic: group_size", "method: {budget_s: 100, precision: 0.1%}")
    folder, study = measured(tmp_path, text)
    counts = [sum(w.kind == "window" and w.work == work.work for w in load(folder).windows) for work in study.cases]
    assert max(counts) > study.plan.windows
    assert 80.0 < end_s(load(folder)) < 105.0


class FailsLate(SimulatedDevice):
    """A simulated board on which one variant fails after a window."""

    loops = 0

    def loop(self, prepared):
        if prepared.plan.case.variant == "dense":
            self.loops += 1
            if self.loops > 1:
                raise CaseError("an illegal memory access was encountered")
        return super().loop(prepared)


def run_on(device, tmp_path, progress=None, **options):
    chosen = RunOptions(results=tmp_path, **options)
    station = Station(device, open_meter_for(device, None), ())
    study = plan_study(parse_suite(SMALL), station, chosen)
    return load(run_study(study, station, chosen, progress or Remembering())), study


def test_a_budget_is_not_spent_on_what_has_failed(tmp_path):
    """One window has no interval, and never gets one: the others are precise enough long before the budget ends."""
    run, _ = run_on(FailsLate("h200"), tmp_path, budget_s=300.0, settings={"channels": [64]})
    assert [w.work for w in run.windows if w.kind == "failed"]
    assert end_s(run) < 100.0


@pytest.mark.parametrize(("budget_s", "most_steps"), [(45.0, 3), (70.0, 3)])
def test_the_processes_of_an_isolated_run_share_one_budget(tmp_path, budget_s, most_steps):
    """The first comparison needs some 40 s: of 45 s nothing is left for a second one, of 70 s there is."""
    spent_s = [0.0]
    with tempfile.TemporaryFile() as file:
        for said in [FIRST, *[NEXT] * (most_steps - 1)]:
            step = Step(file.fileno(), said)
            device = SimulatedDevice("h200")
            options = {"budget_s": budget_s, "precision": 1e-3, "isolated": step}
            try:
                run, study = run_on(device, tmp_path, **options)
            except ComparisonDone:
                assert step.spent_s() == pytest.approx(spent_s[-1] + device.clock.now_s())
                spent_s.append(step.spent_s())
            else:
                assert spent_s[-1] + device.clock.now_s() < 1.05 * budget_s
                assert set(run.record.stopped) == {c.id for c in study.comparisons}
                return
    pytest.fail(f"it has spent {spent_s} and goes on")


def test_a_latency_pass_takes_fewer_samples_of_long_iterations_and_never_too_many():
    assert samples_in(0.2, 1e-5) == 500
    assert samples_in(0.2, 2e-3) == 100
    assert samples_in(0.2, 0.03) == 20
    assert samples_in(0.2, 3.0) == 5
