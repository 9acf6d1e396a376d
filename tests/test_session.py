"""A whole study: simulated boards give back their truth, interrupted runs go on, failures are rows."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from quiet import SMALL, Remembering, measured, summary_of

from energybench.analysis.summary import summarize
from energybench.devices.open import open_meter_for
from energybench.devices.simulated import SimulatedDevice
from energybench.errors import DeviceError, MeterError, RunFolderError, SuiteError
from energybench.journal import load
from energybench.report.method import budget
from energybench.report.terminal import render_summary
from energybench.runner.comparison import MEMORY_SHARE
from energybench.session import RunOptions, Station, open_station, plan_study, run_study
from energybench.suite import load_suite, parse_suite
from energybench.workload import resident_bytes


@pytest.mark.parametrize("machine", ["h200", "a100-sxm4-80gb", "v100-sxm2", "p100-pcie", "t4", "rtx-4090", "gh200"])
def test_measured_joules_are_within_half_a_percent_of_the_simulated_truth(tmp_path, machine):
    summary = summary_of(tmp_path, device=f"sim:{machine}")
    truth = summary.run.record.truth
    assert len(summary.cases) == 6
    for case in summary.cases.itertuples():
        true = truth[case.work]
        assert case.energy_per_iteration_j == pytest.approx(true["energy_per_iteration_j"], rel=0.005)
        assert case.loop_latency_s == pytest.approx(true["latency_s"], rel=0.005)
        assert case.power_w == pytest.approx(true["power_w"], rel=0.005)
        assert case.provenance == "simulated"
        assert "simulated" in case.flags.split()


def test_energy_is_power_times_loop_latency_in_every_row(tmp_path):
    cases = summary_of(tmp_path).cases
    product = cases["power_w"] * cases["loop_latency_s"]
    assert product.tolist() == pytest.approx(cases["energy_per_iteration_j"].tolist(), rel=1e-12)


def test_intervals_cover_the_truth_about_as_often_as_they_say(tmp_path):
    covered = total = 0
    for seed in range(12):
        summary = summary_of(tmp_path / str(seed), seed=seed)
        for case in summary.cases.drop_duplicates("work").itertuples():
            true = summary.run.record.truth[case.work]["energy_per_iteration_j"] / case.batch
            covered += case.energy_per_inference_low_j <= true <= case.energy_per_inference_high_j
            total += 1
    # Binomial with p = 0.95: below 52 of 60 has a probability under 1 %; the seeds are fixed.
    assert total == 60
    assert covered >= 52


def test_each_window_shows_what_its_ends_leave_open_and_what_the_ticks_are_worth(tmp_path):
    summary = summary_of(tmp_path)
    case = summary.cases.iloc[0]
    windows = summary.windows[summary.windows["work"] == case.work]
    assert case.edge_halfwidth == pytest.approx(windows["edge_halfwidth"].median())
    # A stretch of a second between polls a millisecond apart is open by 0.776 of that; the ticks' rhythm knows more.
    assert 0 < case.edge_halfwidth < 0.5 * 0.776e-3
    errors = windows["unaligned_power_w"] / windows["power_w"] - 1
    assert case.unaligned_error == pytest.approx(math.sqrt((errors**2).mean()))
    # The loop ends right after a tick and the next begins there, so even its ends are nearly aligned; yet worse by far.
    assert case.unaligned_error > 5 * case.edge_halfwidth
    (line,) = [line for line in budget(summary) if "ticks" in line.cause]
    assert "if read at the loop's ends" in line.size


def test_the_same_work_is_measured_once_and_shared(tmp_path):
    folder, study = measured(tmp_path)
    run = load(folder)
    # At 64 channels g=8 is G=8; at 32 channels it is G=4.
    assert study.works == 5
    shared = [c for c in run.record.cases if c.point["channels"] == 64 and c.variant != "dense"]
    assert len({c.work for c in shared}) == 1
    rows = summarize(run).cases.set_index("case")
    assert rows.loc[shared[0].id, "energy_per_iteration_j"] == rows.loc[shared[1].id, "energy_per_iteration_j"]
    assert rows.loc[shared[1].id, "energy_ratio"] == 1.0


def test_totals_are_sums_over_stages_weighted_by_repeat(tmp_path):
    summary = summary_of(tmp_path)
    for total in summary.totals.itertuples():
        stages = summary.cases[summary.cases["variant"] == total.variant]
        for name in ("macs", "loop_latency_s", "energy_per_iteration_j"):
            expected = (stages[name] * stages["repeat"]).sum()
            assert getattr(total, name) == pytest.approx(expected, rel=1e-3)
        assert total.energy_per_inference_low_j < total.energy_per_inference_j < total.energy_per_inference_high_j


def test_blocks_are_mirrored_and_every_variant_is_in_each(tmp_path):
    folder, _ = measured(tmp_path)
    windows = [w for w in load(folder).windows if w.kind == "window"]
    for comparison in {w.comparison for w in windows}:
        blocks = {}
        for w in windows:
            if w.comparison == comparison:
                blocks.setdefault(w.block, []).append(w.work)
        assert len(blocks) >= 8
        for block in range(0, len(blocks), 2):
            assert blocks[block] == blocks[block + 1][::-1]
        assert len({frozenset(works) for works in blocks.values()}) == 1


def test_idle_is_measured_before_and_after_and_agrees_with_the_board(tmp_path):
    summary = summary_of(tmp_path)
    assert summary.idle.measurements == 2
    assert summary.idle.power_w == pytest.approx(summary.machine.idle_w, rel=0.005)
    for row in summary.cases.to_dict("records"):
        dynamic = row["energy_per_inference_j"] - summary.idle.power_w * row["loop_latency_s"] / row["batch"]
        if row["power_w"] > 1.2 * summary.idle.power_w:
            assert row["dynamic_energy_per_inference_j"] == pytest.approx(dynamic)
        else:
            assert math.isnan(row["dynamic_energy_per_inference_j"]), "too close to idle to be told from it"


def test_dynamic_joules_are_refused_where_the_driver_smooths_power(tmp_path):
    folder, _ = measured(tmp_path)
    run = load(folder)
    smoothed = replace(
        run, record=run.record.model_copy(update={"meter": {**run.record.meter, "power_smoothing": True}})
    )
    before, after = summarize(run).cases, summarize(smoothed).cases
    assert before["dynamic_energy_per_inference_j"].notna().any()
    assert after["dynamic_energy_per_inference_j"].isna().all()
    assert after["energy_per_inference_j"].tolist() == before["energy_per_inference_j"].tolist()
    assert after["flags"].str.split().apply(lambda flags: "power-smoothing" in flags).all()


@pytest.mark.parametrize("after", [1, 7, 20])
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, after):
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, progress=Remembering(interrupt_after=after))
    (folder,) = (tmp_path / "results").iterdir()
    before = load(folder)
    assert not before.record.complete
    partial = summarize(before)
    assert set(partial.cases["status"]) <= {"ok", "missing"}

    progress = Remembering()
    again, study = measured(tmp_path, progress=progress)
    assert again == folder
    assert any("resuming" in note for note in progress.notes)
    run = load(folder)
    assert run.record.complete
    assert run.record.sessions == 2
    assert run.windows[: len(before.windows)] == before.windows
    assert set(summarize(run).cases["status"]) == {"ok"}
    assert progress.windows <= study.works * study.plan.windows + study.works


def test_fewer_than_five_windows_give_a_mean_without_interval_verdict_or_silence(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, progress=Remembering(interrupt_after=4 * 3))  # four blocks of three variants
    (folder,) = (tmp_path / "results").iterdir()
    summary = summarize(load(folder))
    rows = summary.cases[summary.cases["status"] == "ok"]
    assert rows["windows"].tolist() == [4, 4, 4]
    assert rows["energy_per_inference_j"].notna().all()
    ends = ["energy_per_inference_low_j", "energy_per_inference_high_j", "loop_latency_low_s", "energy_ratio_low"]
    others = rows[rows["variant"] != "FgGC g=8"]  # the baseline is as much as itself
    assert others[[*ends, "relative_halfwidth"]].isna().all(axis=None)
    assert rows["flags"].str.contains("no-interval").all()
    assert rows["reason"].str.contains("no interval: 4 of at least 5 windows").all()
    compared = summary.pairs[summary.pairs["energy_ratio"].notna()]
    assert compared["verdict"].tolist() == ["cannot tell"] * 3  # one matched pair, two against the baseline
    assert compared["energy_ratio_low"].isna().all()
    text = render_summary(summary)
    assert "95 % interval: none: too few windows" in " ".join(text.split())
    assert "Smallest difference" not in text


def test_a_finished_run_is_not_resumed_and_fresh_never_is(tmp_path):
    first, _ = measured(tmp_path)
    second, _ = measured(tmp_path)
    assert first != second
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, progress=Remembering(interrupt_after=3))
    third, _ = measured(tmp_path, fresh=True)
    assert load(third).record.sessions == 1


def test_another_run_in_the_output_folder_is_refused_with_the_difference(tmp_path):
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, output=output, progress=Remembering(interrupt_after=2))
    with pytest.raises(RunFolderError, match="quick False -> True"):
        measured(tmp_path, output=output, quick=True)


def test_a_case_that_fails_while_running_is_a_row_and_the_others_are_measured(tmp_path):
    text = """
name: failing
baseline: works
variants:
  works: {layer: "torch.nn:ReLU"}
  fails: {layer: "plugin_layers:Raising"}
input: [2, 8]
"""
    plugin = tmp_path / "plugin_layers.py"
    plugin.write_text(
        "import torch\n"
        "class Raising(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        if x.device.type != 'meta':\n"
        "            raise RuntimeError('no kernel for this')\n"
        "        return x * 2\n"
    )
    folder, _ = measured(tmp_path, text=text, device="cpu", plugins=(str(plugin),), quick=True)
    rows = summarize(load(folder)).cases.set_index("variant")
    assert rows.loc["fails", "status"] == "failed"
    assert "no kernel for this" in rows.loc["fails", "reason"]
    assert rows.loc["works", "status"] == "ok"
    assert rows.loc["works", "loop_latency_s"] > 0


def test_the_cpu_reports_latency_and_says_why_there_are_no_joules(tmp_path):
    folder, _ = measured(tmp_path, device="cpu", meter="none", quick=True)
    summary = summarize(load(folder))
    assert (summary.cases["status"] == "ok").all()
    assert summary.cases["loop_latency_s"].gt(0).all()
    assert summary.cases["latency_p5_s"].le(summary.cases["latency_p95_s"]).all()
    assert summary.cases["energy_per_inference_j"].isna().all()
    assert summary.cases["reason"].str.startswith("no joules: ").all()
    assert not summary.has_energy


def test_the_record_holds_no_absolute_path_and_no_user(tmp_path):
    folder, _ = measured(tmp_path, quick=True, command=("energybench", "run", str(tmp_path / "small.yaml")))
    text = (folder / "run.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["command"] == ["energybench", "run", "small.yaml"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (RunOptions(device="warp:9"), DeviceError),
        (RunOptions(device="sim:h200", meter="nvml"), MeterError),
        (RunOptions(device="cpu", meter="sim"), MeterError),
    ],
)
def test_what_was_asked_for_and_cannot_be_had_ends_with_status_3(options, error):
    with pytest.raises(error) as caught:
        open_station(options).close()
    assert caught.value.exit_code == 3


def test_a_suite_from_which_nothing_is_left_is_an_error():
    suite = parse_suite(SMALL + 'skip: [{network: tiny, because: "testing"}]\n')
    options = RunOptions(device="sim:h200")
    station = open_station(options)
    with pytest.raises(SuiteError, match="no case is left"):
        plan_study(suite, station, options)


def test_gconv_stays_under_twenty_minutes_on_a_gpu_with_a_counter():
    options = RunOptions(device="sim:h200")
    station = open_station(options)
    study = plan_study(load_suite("gconv"), station, options)
    assert study.works == 236
    assert study.estimate.duration_s < 20 * 60
    assert study.estimate.energy_j == pytest.approx(study.estimate.duration_s * 450, rel=0.6)
    assert math.isfinite(study.estimate.energy_j)


def test_a_budget_is_spread_over_all_comparisons_and_kept(tmp_path):
    folder, study = measured(tmp_path, budget_s=45.0)
    run = load(folder)
    rows = summarize(run).cases
    assert set(rows["status"]) == {"ok"}
    assert study.plan.windows < 8
    windows = [w for w in run.windows if w.kind == "window"]
    assert max(w.stop_s for w in run.windows) < 45.0 + study.plan.loop_s
    assert {w.comparison for w in windows} == {c.id for c in study.comparisons}


def test_what_is_left_of_a_budget_goes_to_the_widest_interval(tmp_path):
    folder, study = measured(tmp_path, budget_s=300.0, precision=1e-4)
    run = load(folder)
    counts = {}
    for w in run.windows:
        if w.kind == "window":
            counts[w.comparison, w.work] = counts.get((w.comparison, w.work), 0) + 1
    assert max(counts.values()) > study.plan.windows
    assert max(w.stop_s for w in run.windows) < 1.05 * 300


def test_a_variant_that_is_skipped_at_a_stage_has_no_total_but_a_reason(tmp_path):
    text = SMALL + "skip: [{variant: dense, channels: 64, because: too wide}]\n"
    summary = summary_of(tmp_path, text=text)
    totals = summary.totals.set_index("variant")
    assert set(totals["status"]) == {"ok", "missing"}
    assert totals.loc["dense", ["status", "reason"]].tolist() == ["missing", "skipped at 1 of the 2 stages"]
    assert pd.isna(totals.loc["dense", "macs"])
    paired = summary.pairs[summary.pairs["scope"] == "total"]
    assert "dense" not in {*paired["variant"], *paired["against"]}
    assert [o.group_sizes for o in summary.network_optima] == []  # one constant group size is left, not two


class Restless(SimulatedDevice):
    """A simulated board without room for three variants at once, on which one of them runs at a speed of its own."""

    def free_memory_bytes(self):
        return self.room_bytes

    def loop(self, prepared):
        loop = super().loop(prepared)
        if prepared.plan.case.variant == "E2GC G=8":
            loop._iteration_s *= float(np.exp(self._random.normal(0, 0.3)))
        return loop


def test_a_comparison_ends_for_the_worst_reason_of_its_sub_blocks(tmp_path):
    device = Restless("h200")
    options = RunOptions(results=tmp_path, settings={"channels": [32]})
    station = Station(device, open_meter_for(device, None), ())
    study = plan_study(parse_suite(SMALL), station, options)
    (comparison,) = study.comparisons
    needs_bytes = [resident_bytes(work, device.facts.l2_bytes) for work in comparison.works]
    assert comparison.works[1].case.variant == "E2GC G=8", "the restless one is in the first of the two sub-blocks"
    device.room_bytes = 2.01 * max(needs_bytes) / MEMORY_SHARE
    run = load(run_study(study, station, options, Remembering()))
    assert any("2 sub-blocks" in note for note in run.record.notes)
    assert run.record.stopped == {comparison.id: "windows"}
