"""Gates: what fails, what is only counted, and that measuring nothing is never green."""

import math

import pytest

from energybench.analysis.comparison import Change, ComparedRow, Comparison
from energybench.analysis.gate import NAMED_AT_MOST, Gate, judge, parse_gate
from energybench.analysis.matching import Unmatched
from energybench.analysis.statistics import Interval
from energybench.errors import EnergyBenchError

ENERGY = Gate("energy", 0.03)


def change(low, high):
    middle = math.sqrt(low * high) if math.isfinite(high) and low > 0 else 1.0
    return Change(Interval(middle, low, high, 5), low, high, 0.01, "")


def row(name, energy=None, latency=None):
    return ComparedRow("case", name, "place", "v", "", 1.0, latency, energy, None)


def comparison(*rows, unmatched=(), kind="runs"):
    return Comparison(kind, ("a", "b"), ("x", "y"), 0.01, rows, unmatched)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("energy:3%", Gate("energy", 0.03)),
        ("latency:0.02", Gate("latency", 0.02)),
        (" power : 150 %", Gate("power", 1.5)),
        ("energy:0%", Gate("energy", 0.0)),
    ],
)
def test_a_gate_is_a_quantity_and_a_limit(text, gate):
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    "text", ["", "energy", "energy:", "energy:3", "energy:-3%", "energy:nan%", "energy:inf", "joules:3%", "3%"]
)
def test_anything_else_is_an_error_that_shows_how_to_write_it(text):
    with pytest.raises(EnergyBenchError) as caught:
        parse_gate(text)
    assert caught.value.exit_code == 2
    assert "--fail-above energy:3%" in str(caught.value)


def test_a_misspelt_quantity_is_guessed():
    with pytest.raises(EnergyBenchError, match="did you mean 'latency'"):
        parse_gate("latencey:3%")


def test_a_gate_reads_as_it_was_written():
    assert str(parse_gate("energy:2.5%")) == "energy:2.5%"


def test_only_an_interval_wholly_beyond_the_limit_fails():
    beyond = judge(comparison(row("slow", change(1.031, 1.05))), [ENERGY])
    assert beyond.exit_code == 1
    assert "FAILED: 1 of 1 worse by more than 3 %" in beyond.lines[0]
    assert beyond.lines[1].startswith("worse: slow: +")


@pytest.mark.parametrize("interval", [(1.029, 1.05), (0.9, 1.2)])
def test_an_interval_that_holds_the_limit_is_counted_and_does_not_fail(interval):
    result = judge(comparison(row("unsure", change(*interval)), row("fine", change(0.99, 1.01))), [ENERGY])
    assert result.exit_code == 0
    assert "passed" in result.lines[0]
    assert "1 undecided" in result.lines[0]


def test_a_gate_that_decided_nothing_does_not_call_itself_passed():
    result = judge(comparison(row("unsure", change(0.9, 1.2))), [ENERGY])
    assert result.exit_code == 0
    assert result.lines[0].startswith("gate energy:3%: NOT DECIDED")


def test_strict_fails_what_is_undecided():
    result = judge(comparison(row("unsure", change(0.9, 1.2)), row("fine", change(0.99, 1.01))), [ENERGY], strict=True)
    assert result.exit_code == 1


def test_worse_within_the_limit_and_better_pass():
    result = judge(comparison(row("a", change(1.01, 1.029)), row("b", change(0.5, 0.6))), [ENERGY], strict=True)
    assert (result.exit_code, result.lines[0]) == (
        0,
        "gate energy:3%: passed: 0 of 2 worse by more than 3 %, 2 within it, 0 undecided",
    )


@pytest.mark.parametrize(
    "rows", [(), (row("no joules", latency=change(0.9, 0.95)),), (row("one window", change(0.0, math.inf)),)]
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_gate_that_judged_nothing_exits_2(rows, strict):
    result = judge(comparison(*rows), [ENERGY], strict=strict)
    assert result.exit_code == 2
    assert "NOTHING WAS JUDGED" in result.lines[0]


def test_a_gate_that_failed_outweighs_one_that_judged_nothing_and_that_outweighs_one_that_passed():
    slow, like = row("slow", latency=change(1.1, 1.2)), row("like", latency=change(0.99, 1.01))
    assert judge(comparison(slow), [Gate("latency", 0.05), ENERGY]).exit_code == 1
    assert judge(comparison(slow), [ENERGY, Gate("latency", 0.05)]).exit_code == 1
    assert judge(comparison(like), [Gate("latency", 0.05), ENERGY]).exit_code == 2


def test_several_gates_fail_together():
    rows = (row("x", change(0.9, 0.95), change(1.1, 1.2)),)
    result = judge(comparison(*rows), [ENERGY, Gate("latency", 0.05)])
    assert result.exit_code == 1
    assert result.lines[0].startswith("gate energy:3%: passed")


def test_cases_the_second_run_lost_are_named_and_fail_only_strictly():
    lost = Unmatched("gone", "failed in B", lost=True)
    new = Unmatched("new", "not in A", lost=False)
    told = comparison(row("fine", change(0.99, 1.01)), unmatched=(lost, new))
    loose, strict = judge(told, [ENERGY]), judge(told, [ENERGY], strict=True)
    assert (loose.exit_code, strict.exit_code) == (0, 1)
    assert "1 not measured" in loose.lines[0]
    assert "not measured: gone" in loose.lines
    assert judge(comparison(row("fine", change(0.99, 1.01)), unmatched=(new,)), [ENERGY], strict=True).exit_code == 0


def test_rows_without_the_quantity_do_not_count_as_judged():
    told = comparison(row("fine", change(0.99, 1.01)), row("no joules", latency=change(1, 1)))
    assert "0 of 1 worse" in judge(told, [ENERGY]).lines[0]
    assert judge(told, [ENERGY], strict=True).exit_code == 1


def test_a_long_list_is_cut_and_says_by_how_many():
    rows = [row(f"case {i}", change(1.1, 1.2)) for i in range(NAMED_AT_MOST + 3)]
    assert judge(comparison(*rows), [ENERGY]).lines[-1] == "worse: and 3 more"


def test_power_between_variants_is_said_to_be_no_gate():
    result = judge(comparison(row("x", change(1, 1)), kind="variants"), [Gate("power", 0.05)])
    assert result.exit_code == 2
    assert "between two runs" in result.lines[0]
