"""The run in words: who won at matched MACs, by how much, how sure."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from energybench import columns
from energybench.report.answer import answer, smallest_difference_line


def pair(ratio: float, half: float = 0.004, **fields: Any) -> dict[str, Any]:
    row = dict.fromkeys(columns.names(columns.PAIRS), math.nan) | {
        "scope": "total", "kind": "matched", "network": "N", "comparison": "", "variant": "new a", "against": "old a",
        "batch": 1, "dtype": "float16", "macs_ratio": 1.01, "smallest_difference": 0.005,
        "energy_ratio": ratio, "energy_ratio_low": ratio - half, "energy_ratio_high": ratio + half,
        "latency_ratio": ratio, "latency_ratio_low": ratio - half, "latency_ratio_high": ratio + half,
    }  # fmt: skip
    return row | fields


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.names(columns.PAIRS))


def test_one_comparison_is_told_with_its_amount_interval_and_place() -> None:
    said = answer(frame(pair(0.904)))
    assert said.headline == (
        "At matched MACs, new a needs 9.6 % less energy per inference than old a (N, batch 1, float16); "
        "95 % interval: 9.2 to 10 % less."
    )


def test_the_smallest_difference_that_could_show_is_said_beside_what_cannot_be_told() -> None:
    rows = [
        pair(0.9, smallest_difference=0.01, network="a"),
        pair(0.999, half=0.03, smallest_difference=0.03, network="b"),
        pair(0.9, smallest_difference=0.012, network="c"),
    ]
    said = answer(frame(*rows))
    line = "Smallest difference that these comparisons can show: 3.0 % (half of them 1.2 %), with 80 % power."
    assert smallest_difference_line(said.outcomes) == line
    assert said.certainty.endswith(line)
    assert any("cannot tell" in text and "a difference below 3.0 % need not show" in text for text in said.lines)
    unknown = answer(frame(pair(0.9, energy_ratio_low=0.0, energy_ratio_high=math.inf, smallest_difference=math.inf)))
    assert smallest_difference_line(unknown.outcomes) == ""


def test_an_interval_that_holds_one_is_no_win() -> None:
    assert "cannot be told" in answer(frame(pair(0.985, half=0.03))).headline


def test_an_interval_within_one_percent_is_the_same() -> None:
    assert "need the same energy per inference within 1 %" in answer(frame(pair(0.998, half=0.003))).headline


def test_several_wins_are_counted_and_ranged() -> None:
    said = answer(frame(pair(0.90), pair(0.95, batch=32), pair(0.97, dtype="float32")))
    assert said.headline == (
        "At matched MACs, new a needs less energy per inference than old a in all 3 comparisons: 3.0 to 10 % less."
    )


def test_a_loss_is_told_in_the_direction_in_which_the_pair_was_declared() -> None:
    said = answer(frame(pair(1.25), pair(1.25, batch=8), pair(0.95, batch=32)))
    assert said.headline == (
        "At matched MACs, new a needs more energy per inference than old a in 2 of 3 comparisons: "
        "25 % more; 5.0 % less in 1."
    )
    assert "25 % more in 2 of 3" in said.lines[0].replace(" (batch 1; batch 8)", " in 2 of 3")


def test_nobody_wins_when_wins_and_losses_balance() -> None:
    said = answer(frame(pair(1.05), pair(0.95, batch=32)))
    assert "neither new a nor old a wins" in said.headline


def test_pairs_of_several_members_are_called_by_their_family() -> None:
    said = answer(frame(pair(0.9), pair(0.9, variant="new b", against="old b")))
    assert said.headline.startswith("At matched MACs, new needs less energy per inference than old in all 2")
    sizes = frame(*(pair(0.9, variant=f"New-{size}", against=f"Old-{size}") for size in "TS"))
    assert answer(sizes).headline.startswith("At matched MACs, New needs less energy per inference than Old in all 2")


def test_places_are_told_by_what_differs_between_them() -> None:
    points = [(0.5, 1, "contiguous"), (0.9, 1, "channels_last"), (0.7, 8, "contiguous")]
    rows = [pair(ratio, comparison=f"batch={n} layout={layout} dtype=float16") for ratio, n, layout in points]
    found = [outcome.place for outcome in answer(frame(*rows)).outcomes]
    assert found == ["batch 1, contiguous", "batch 1, channels_last", "batch 8, contiguous"]


def test_totals_come_before_cases_and_matched_pairs_before_the_baseline() -> None:
    rows = frame(pair(0.5, kind="baseline"), pair(0.6, scope="case"), pair(0.9))
    assert [outcome.ratio for outcome in answer(rows).outcomes] == [0.9]
    assert [outcome.ratio for outcome in answer(rows.iloc[:2]).outcomes] == [0.6]


def test_a_pair_far_apart_in_macs_is_left_out_of_the_first_sentence_and_named() -> None:
    said = answer(frame(pair(0.9), pair(0.5, macs_ratio=0.5, batch=32)))
    assert "10 % less" in said.headline
    assert "50 %" not in said.headline
    assert any("more than 10 % apart in MACs (up to ×0.5" in caveat for caveat in said.caveats)


def test_against_the_baseline_the_words_do_not_claim_matched_macs() -> None:
    said = answer(frame(pair(0.9, kind="baseline", macs_ratio=0.25)))
    assert not said.headline.startswith("At matched MACs")
    assert any("MACs differ" in caveat for caveat in said.caveats)


def test_without_joules_the_answer_is_about_latency_and_says_why() -> None:
    rows = frame(pair(0.9))
    rows[["energy_ratio", "energy_ratio_low", "energy_ratio_high"]] = math.nan
    said = answer(rows, energy_reason="this CPU has no counters")
    assert said.quantity == "latency"
    assert "needs 10 % less latency" in said.headline
    assert any("this CPU has no counters" in caveat for caveat in said.caveats)


def test_one_replicate_claims_nothing() -> None:
    said = answer(frame(pair(0.5, energy_ratio_low=0.0, energy_ratio_high=math.inf)))
    assert "cannot be told" in said.headline
    assert "Fewer than five windows" in said.certainty


def test_a_run_of_one_variant_says_that_nothing_was_compared() -> None:
    assert answer(frame()).headline.startswith("Nothing was compared")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\u202eb"])
def test_names_cannot_act_in_the_words(name: str) -> None:
    said = answer(frame(pair(0.9, variant=name)))
    assert all(c.isprintable() for c in said.headline)


def baseline(ratio: float, variant: str, **fields: Any) -> dict[str, Any]:
    return pair(ratio, kind="baseline", variant=variant, against="base", macs_ratio=0.5, **fields)


def test_pairs_without_two_common_sides_are_counted_and_the_largest_differences_told() -> None:
    rows = [
        pair(1.18, variant="A", against="B"),
        pair(0.7, variant="C", against="D"),
        pair(1.0, variant="E", against="F"),
    ]
    said = answer(frame(*rows))
    assert said.headline == (
        "At matched MACs, 2 of 3 pairs differ in energy per inference (the same within 1 % in 1): "
        "1 needs less (C: 30 % less than D), 1 needs more (A: 18 % more than B)."
    )


def test_pairs_without_two_common_sides_come_after_who_needs_least_of_all() -> None:
    rows = [pair(16.0, variant="A", against="B"), pair(0.7, variant="C", against="D")]
    said = answer(frame(*rows, baseline(0.7, "C"), baseline(1.5, "A")))
    assert said.headline.startswith("MACs aside, C needs the least energy per inference")
    assert said.lines[0] == (
        "At matched MACs, 2 of 2 pairs differ in energy per inference: "
        "1 needs less (C: 30 % less than D), 1 needs more (A: 16 times as much as B)."
    )
    assert said.least == "", "it is not told twice"


def test_places_whose_macs_are_apart_are_told_apart() -> None:
    said = answer(frame(pair(0.98), pair(0.79, macs_ratio=0.75, batch=32)))
    # 0.79 / 0.75 = 1.053
    assert said.lines == (
        "new a against old a (MACs ×1.01): 2.0 % less (batch 1). "
        "Not matched (MACs ×0.75): 21 % less (batch 32); per MAC 5.3 % more.",
    )
    alone = answer(frame(pair(0.5, macs_ratio=0.5), pair(3.0, macs_ratio=2.0), pair(2.2, macs_ratio=2.0, batch=8)))
    assert alone.lines[0].startswith("new a against old a, not matched (MACs ×0.5 to ×2): 50 % less")
    assert "2.2 to 3.0 times as much" in alone.lines[0]


def test_without_pairs_the_answer_is_who_needs_least() -> None:
    said = answer(
        frame(baseline(0.8, "a"), baseline(0.9, "b"), baseline(0.7, "a", batch=32), baseline(0.9, "b", batch=32))
    )
    assert said.headline == "MACs aside, a needs the least energy per inference in both settings."


def test_who_needs_least_is_not_told_where_intervals_overlap() -> None:
    close = (baseline(0.800, "a"), baseline(0.801, "b"))
    assert answer(frame(*close)).headline == (
        "MACs aside, no variant surely needs the least energy per inference: a and b are too close to call."
    )
    apart = (baseline(0.7, "a", batch=32), baseline(0.9, "b", batch=32))
    assert answer(frame(*close, *apart)).headline.endswith("in 1 of 2 settings, too close to call in 1 (a and b).")


def test_a_variant_that_ties_only_with_its_own_work_surely_needs_least() -> None:
    said = answer(frame(baseline(0.8, "a"), baseline(0.8, "twin"), baseline(0.9, "b")))
    assert said.headline.startswith("MACs aside, a (the same work as twin) needs the least energy per inference")


def test_the_baseline_may_need_least() -> None:
    said = answer(frame(baseline(1.2, "a"), baseline(1.1, "b")))
    assert said.headline == "MACs aside, base needs the least energy per inference."


def test_beside_declared_pairs_the_least_of_all_is_told_too() -> None:
    said = answer(frame(pair(0.9), baseline(0.5, "small"), baseline(0.8, "new a")))
    assert said.least == "MACs aside, small needs the least energy per inference: 0.500 [0.496, 0.504] of base's."


def test_totals_answer_before_cases_but_not_those_of_a_window_or_two() -> None:
    case = pair(0.8, scope="case", comparison="a place")
    short = {
        f"{name}_ratio_{end}": value
        for name in ("energy", "latency")
        for end, value in (("low", 0), ("high", math.inf))
    }
    assert "10 % less" in answer(frame(pair(0.9), case)).headline
    assert "20 % less" in answer(frame(pair(0.9, **short), case)).headline
    same_work = pair(1.0, half=0.0, scope="case", comparison="a place")
    predicted = answer(frame(pair(0.9, **short), same_work), origin="modelled")
    assert "10 % less" in predicted.headline, "where nothing has an interval, a point is none either"


def test_a_prediction_is_judged_by_its_value_and_called_one() -> None:
    said = answer(frame(pair(0.9, half=math.inf)), origin="modelled")
    assert said.headline == (
        "Predicted: at matched MACs, new a needs 10 % less energy per inference than old a (N, batch 1, float16)."
    )
    assert "no interval" in said.certainty


def test_factors_are_told_as_factors() -> None:
    said = answer(frame(pair(2.6, half=0.1)))
    assert "needs 2.6 times as much energy per inference as old a" in said.headline
    assert said.headline.endswith("95 % interval: 2.5 to 2.7 times as much.")
