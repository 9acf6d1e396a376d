"""Which runs may be compared, which cases are the same job, what the gains do, and what else changed."""

import pytest
from compare_example import FLAT, case_record, pair_of, times, written

from energybench.analysis.compare import compare_runs
from energybench.errors import RunFolderError


def test_a_run_is_not_compared_with_itself():
    run = written({"v | size=1": (FLAT, FLAT)})
    with pytest.raises(RunFolderError, match="this is one run"):
        compare_runs(run, run)


def test_simulated_and_measured_are_never_mixed():
    measured = written({"v | size=1": (FLAT, FLAT)}, name="a")
    simulated = written({"v | size=1": (times(1.1), FLAT)}, name="b", simulated=True, gain=0.0)
    with pytest.raises(RunFolderError, match="one run is measured, the other simulated"):
        compare_runs(measured, simulated)


def test_a_copy_of_a_measured_run_is_refused():
    with pytest.raises(RunFolderError, match="copy"):
        compare_runs(
            written({"v | size=1": (FLAT, FLAT)}, name="a", clock=5.0),
            written({"v | size=1": (FLAT, FLAT)}, name="b", clock=5.0),
        )


def test_boards_without_a_uuid_are_one_only_when_the_user_says_so():
    nameless = {"uuid": None}
    old = written({"v | size=1": (FLAT, FLAT)}, name="a", device=nameless)
    new = written({"v | size=1": (times(1.1), times(1.1))}, name="b", device=nameless)
    assert "cannot be told apart" in compare_runs(old, new).gain.words
    assert compare_runs(old, new, same_board=True).gain.log_halfwidth == 0
    assert "two boards" in compare_runs(old, new, same_board=False).gain.words


def test_one_board_read_in_two_ways_keeps_its_gain():
    comparison = compare_runs(*pair_of(1, 1.04, estimator="power_instant_w"))
    assert "two ways" in comparison.gain.words
    assert comparison.rows[0].energy.verdict == "cannot tell"


def test_cases_that_one_run_lacks_are_named_with_the_reason():
    names = [f"v | size={i}" for i in range(5)]
    windows = dict.fromkeys(names, (FLAT, FLAT))
    old = written(windows | {"only old | size=1": (FLAT, FLAT)}, name="a")
    new = written(
        {name: (times(1.1), FLAT) for name in names}, name="b", skipped=[("only old | size=1", "too large")],
        status={names[0]: ("failed", "out of memory"), names[1]: ("missing", "not measured yet")},
    )  # fmt: skip
    comparison = compare_runs(old, new)
    assert [row.name for row in comparison.rows] == names[2:]
    assert {u.name: (u.because, u.lost) for u in comparison.unmatched} == {
        names[0]: ("failed (out of memory) in B", True),
        names[1]: ("missing (not measured yet) in B", True),
        "only old | size=1": ("skipped (too large) in B", True),
    }


def test_a_case_that_only_the_second_run_has_is_named_and_not_lost():
    old = written({"v | size=1": (FLAT, FLAT)}, name="a")
    new = written({"v | size=1": (times(1.1), FLAT), "w | size=1": (FLAT, FLAT)}, name="b")
    (only,) = compare_runs(old, new).unmatched
    assert (only.name, only.because, only.lost) == ("w | size=1", "not in A", False)


def test_cases_that_nobody_was_to_measure_are_not_mentioned():
    skip = [("w | size=1", "pointless")]
    old = written({"v | size=1": (FLAT, FLAT)}, name="a", skipped=skip)
    new = written({"v | size=1": (times(1.1), FLAT)}, name="b", skipped=skip)
    assert compare_runs(old, new).unmatched == ()


@pytest.mark.parametrize(
    "changed",
    [{"batch": 2}, {"inputs": [{"shape": [2, 8]}]}, {"dtype": "float32"}, {"mode": "training"}, {"cache": "rotated"}],
)
def test_another_job_under_the_same_id_is_not_compared(changed):
    windows = {"v | size=1": (FLAT, FLAT), "v | size=2": (FLAT, FLAT)}
    other = [case_record("v | size=1", **changed), case_record("v | size=2")]
    slower = {name: (times(1.1), FLAT) for name in windows}
    comparison = compare_runs(written(windows, name="a"), written(slower, name="b", cases=other))
    assert [row.name for row in comparison.rows] == ["v | size=2"]
    assert f"its {next(iter(changed))} differ" in comparison.unmatched[0].because


def test_suites_without_a_common_case_are_refused():
    old = written({"v | size=1": (FLAT, FLAT)}, name="a")
    new = written({"v | size=2": (FLAT, FLAT)}, name="b", suite="another")
    with pytest.raises(RunFolderError, match="no case in common"):
        compare_runs(old, new)


def test_suites_that_overlap_are_compared_where_they_do():
    old = written({"v | size=1": (FLAT, FLAT), "v | size=3": (FLAT, FLAT)}, name="a")
    new = written({"v | size=1": (times(1.1), FLAT), "v | size=2": (FLAT, FLAT)}, name="b", suite="another")
    comparison = compare_runs(old, new)
    assert [row.name for row in comparison.rows] == ["v | size=1"]
    assert {u.name for u in comparison.unmatched} == {"v | size=2", "v | size=3"}
    assert any("suites differ" in caveat for caveat in comparison.caveats)


def test_a_comparison_of_which_nothing_was_measured_twice_is_refused():
    old = written({"v | size=1": (FLAT, FLAT)}, name="a")
    new = written({"v | size=1": ([], [])}, name="b")
    with pytest.raises(RunFolderError, match=r"nothing can be compared: v \| size=1: missing"):
        compare_runs(old, new)


def test_what_else_changed_is_told():
    old = written(
        {"v | size=1": (FLAT, FLAT)}, name="a", meter={"driver": "570.1"}, rows={"v | size=1": {"temperature_c": 60.0}}
    )
    new = written(
        {"v | size=1": (times(1.1), FLAT)},
        name="b",
        meter={"driver": "580.2"},
        rows={"v | size=1": {"temperature_c": 71.0}},
    )
    found = {d.name: (d.a, d.b) for d in compare_runs(old, new).differences}
    assert found == {"meter driver": ("570.1", "580.2"), "temperature_c (median)": ("60", "71")}
