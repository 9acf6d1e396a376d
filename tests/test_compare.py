"""Two runs case by case, and the variants of one: verdicts, totals, what is matched and what is refused."""

import math

import pytest
from compare_example import FLAT, SUITE, case_record, pair_of, simulate, times, written
from scipy import stats

from energybench.analysis.compare import compare_runs, compare_variants
from energybench.analysis.statistics import POWER
from energybench.errors import RunFolderError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        "old": simulate(folder / "old", seed=1),
        "again": simulate(folder / "again", seed=2),
        "other": simulate(folder / "other", device="sim:p100-pcie", seed=1),
        "repeated": simulate(folder / "repeated", seed=1),
    }


def test_two_runs_of_one_machine_are_the_same(runs):
    comparison = compare_runs(runs["old"], runs["again"])
    assert [row.scope for row in comparison.rows] == ["case"] * 4 + ["total"] * 2
    for row in comparison.rows:
        assert {row.latency.verdict, row.energy.verdict} <= {"same", "cannot tell"}


def test_a_slower_machine_is_slower_by_as_much_as_the_simulated_truth_says(runs):
    comparison = compare_runs(runs["old"], runs["other"])
    truths = [run.run.record.truth for run in (runs["old"], runs["other"])]
    works = {case.id: case.work for case in runs["old"].run.record.cases}
    for row in comparison.rows:
        assert (row.latency.verdict, row.energy.verdict) == ("slower", "more")
        if row.scope == "case":
            t, e = (
                truths[1][works[row.name]][q] / truths[0][works[row.name]][q]
                for q in ("latency_s", "energy_per_iteration_j")
            )
            assert row.latency.ratio == pytest.approx(t, rel=0.005)
            assert row.energy.ratio == pytest.approx(e, rel=0.005)


def test_a_total_changes_as_the_sum_of_its_stages(runs):
    comparison = compare_runs(runs["old"], runs["other"])
    total = next(row for row in comparison.rows if row.name.startswith("total FgGC"))
    sums = []
    for run in (runs["old"], runs["other"]):
        row = run.totals[run.totals["variant"] == "FgGC g=32"].iloc[0]
        sums.append((row["loop_latency_s"], row["energy_per_inference_j"]))
    assert total.latency.ratio == pytest.approx(sums[1][0] / sums[0][0])
    assert total.energy.ratio == pytest.approx(sums[1][1] / sums[0][1])


def test_the_energy_change_splits_into_time_and_power_without_a_rest(runs):
    for row in compare_runs(runs["old"], runs["other"]).rows:
        assert math.log(row.energy.ratio) == pytest.approx(sum(row.log_split), abs=1e-12)


def test_variants_of_one_run_have_the_ratios_of_its_own_tables(runs):
    comparison = compare_variants(runs["old"])
    pairs = runs["old"].pairs
    case = pairs[(pairs["scope"] == "case") & (pairs["kind"] == "matched")].iloc[0]
    row = comparison.rows[0]
    assert (row.variant, row.against) == ("E2GC G=4", "FgGC g=32")
    assert (row.energy.low, row.energy.ratio, row.energy.high) == tuple(
        case[["energy_ratio_low", "energy_ratio", "energy_ratio_high"]]
    )


def test_a_partner_that_is_the_baseline_too_is_compared_once(runs):
    rows = compare_variants(runs["old"]).rows
    assert [row.scope for row in rows] == ["case", "case", "total"]


def test_a_simulation_repeated_with_its_seed_says_that_it_tests_nothing(runs):
    comparison = compare_runs(runs["old"], runs["repeated"])
    assert any("the very same windows" in caveat for caveat in comparison.caveats)


@pytest.mark.parametrize(
    ("factor", "latency", "energy"),
    [(1.03, "slower", "more"), (0.97, "faster", "less"), (1.002, "same", "same")],
)
def test_verdicts_follow_the_direction(factor, latency, energy):
    row = compare_runs(*pair_of(factor, factor)).rows[0]
    assert (row.latency.verdict, row.energy.verdict) == (latency, energy)


def test_what_the_windows_cannot_decide_is_called_so_with_the_change_they_would_show():
    wild = [0.9, 1.1, 0.95, 1.07, 1.02, 0.97]
    old = written({"v | size=1": (wild, wild)}, name="a")
    new = written({"v | size=1": ([w * 1.01 for w in reversed(wild)], wild)}, name="b")
    change = compare_runs(old, new).rows[0].latency
    assert change.verdict == "cannot tell"
    variance = stats.sem([math.log(w) for w in wild]) ** 2
    t_sum = stats.t.ppf(0.975, 10) + stats.t.ppf(POWER, 10)  # equal variances, six and six: 10 degrees of freedom
    assert change.smallest == pytest.approx(math.expm1(t_sum * math.sqrt(2 * variance)))


def test_the_margin_decides_what_counts_as_the_same():
    assert compare_runs(*pair_of(1.03, 1), margin=0.05).rows[0].latency.verdict == "same"


def test_on_one_board_the_gain_cancels():
    comparison = compare_runs(*pair_of(1.001, 1.04))
    assert comparison.gain.log_halfwidth == 0
    assert comparison.rows[0].energy.verdict == "more"


def test_across_boards_the_gain_widens_energy_and_power_but_never_latency():
    comparison = compare_runs(*pair_of(1.04, 1.079, device={"uuid": "GPU-2"}))
    row = comparison.rows[0]
    assert "two boards" in comparison.gain.words
    assert row.latency.verdict == "slower"
    # two gains of 5 % may do 7.87 %, and the windows add 0.12 %
    assert (row.energy.verdict, row.power.verdict) == ("cannot tell", "cannot tell")
    assert row.energy.interval.low > 1.07
    factor = math.exp(2 * math.log(1.05) * (1 - math.sqrt(0.05)))
    assert row.energy.high == pytest.approx(row.energy.interval.high * factor)
    assert row.energy.smallest > factor - 1


def test_a_change_beyond_both_gains_is_told_across_boards():
    comparison = compare_runs(*pair_of(1, 1.5, device={"uuid": "GPU-2"}))
    assert comparison.rows[0].energy.verdict == "more"


def test_joules_of_a_board_and_of_a_module_are_not_compared():
    comparison = compare_runs(*pair_of(1.1, 1.1, meter={"scope": "module"}))
    assert comparison.rows[0].energy is None
    assert comparison.rows[0].latency.verdict == "slower"
    assert any("board; module" in caveat for caveat in comparison.caveats)


def test_joules_that_one_run_lacks_leave_latency_and_a_reason():
    old = written({"v | size=1": (FLAT, FLAT)}, name="a")
    new = written({"v | size=1": (times(1.1), [])}, name="b")
    comparison = compare_runs(old, new)
    row = comparison.rows[0]
    assert (row.latency.verdict, row.energy, row.power, row.log_split) == ("slower", None, None, None)
    assert row.note == "B: no joules: no meter"
    assert comparison.gain is None


def test_joules_that_a_run_does_not_trust_are_not_compared_either():
    old, new = pair_of(1, 1.1)
    new.cases.loc[0, ["energy_per_inference_j", "reason"]] = [math.nan, "no joules: counter and power differ"]
    assert compare_runs(old, new).rows[0].energy is None


def test_time_and_joules_come_from_the_same_windows():
    # the first window has no joules: its time, far off, must not enter the split
    old = written({"v | size=1": (FLAT, FLAT)}, name="a")
    new = written({"v | size=1": ([9.0, *FLAT], [math.nan, *times(1.1)])}, name="b")
    row = compare_runs(old, new).rows[0]
    assert row.latency.ratio == pytest.approx(1.0)
    assert row.power.ratio == pytest.approx(1.1)


def test_the_same_job_done_with_more_work_is_compared_and_says_so():
    cases = [case_record("v | size=1", macs=150)]
    old = written({"v | size=1": (FLAT, FLAT)}, name="a")
    row = compare_runs(old, written({"v | size=1": (times(1.1), FLAT)}, name="b", cases=cases)).rows[0]
    assert row.macs_ratio == pytest.approx(1.5)
    assert "MACs x 1.5" in row.note


def test_quick_with_full_and_unfinished_runs_are_flagged():
    old, new = pair_of(1.1, 1.1, complete=False)
    new.run.record.options["quick"] = True
    caveats = compare_runs(old, new).caveats
    assert any(c.startswith("B is quick and the other is not") for c in caveats)
    assert "B is not finished" in caveats


def test_a_total_that_lost_a_stage_is_not_compared_and_says_how_many():
    names = [f"v | size={i}" for i in (1, 2)]
    summed = ["size", "repeat"]
    old = written(dict.fromkeys(names, (FLAT, FLAT)), name="a", summed=summed)
    new = written({names[0]: (times(1.1), FLAT), names[1]: ([], [])}, name="b", summed=summed)
    comparison = compare_runs(old, new)
    assert [row.scope for row in comparison.rows] == ["case"]
    total = comparison.unmatched[-1]
    assert total.name.startswith("total v")
    assert (total.because, total.lost) == ("1 of its 2 stages are not compared", True)


@pytest.mark.parametrize("extra", [{"repeat": 4}, {}])
def test_totals_of_other_stages_or_numbers_of_them_are_not_compared(extra):
    summed = ["size", "repeat"]
    old = written({"v | size=1": (FLAT, FLAT)}, name="a", summed=summed)
    cases = [case_record("v | size=1", **extra)] + ([] if extra else [case_record("v | size=2")])
    windows = {"v | size=1": (times(1.1), FLAT), "v | size=2": (FLAT, FLAT)}
    new = written(windows, name="b", summed=summed, cases=cases)
    comparison = compare_runs(old, new)
    assert [row.scope for row in comparison.rows] == ["case"]
    assert any(u.name.startswith("total v") and "sum other stages" in u.because for u in comparison.unmatched)


def test_one_window_a_side_gives_a_ratio_but_no_verdict():
    old = written({"v | size=1": ([1.0], [1.0])}, name="a")
    change = compare_runs(old, written({"v | size=1": ([2.0], [2.0])}, name="b")).rows[0].latency
    assert change.ratio == pytest.approx(2.0)
    assert (change.verdict, change.has_interval) == ("cannot tell", False)


def test_a_run_of_one_variant_has_nothing_to_compare(tmp_path):
    text = "".join(line for line in SUITE.splitlines(keepends=True) if not line.startswith("  E2GC"))
    with pytest.raises(RunFolderError, match="no two variants"):
        compare_variants(simulate(tmp_path / "one", suite=text, quick=True))
