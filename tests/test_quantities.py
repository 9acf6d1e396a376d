"""Numbers for people: prefixes, digits that the uncertainty deserves, ratios as changes."""

from __future__ import annotations

import math

import pytest

from energybench.report import quantities


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [([0.012, 0.5, 0.0034], "J", "mJ"), ([4.1e-4], "s", "µs"), ([3e12], "FLOP/s", "TFLOP/s"), ([], "J", "J")],
)
def test_a_column_gets_the_prefix_of_its_median(values: list[float], unit: str, expected: str) -> None:
    assert quantities.scale_for(values, unit).unit == expected


def test_a_missing_value_is_a_dash_and_never_zero() -> None:
    assert quantities.digits(math.nan) == quantities.quantity(math.nan, "J") == quantities.NONE
    assert quantities.with_interval(math.nan, 1, 2) == quantities.ratio(math.nan) == quantities.NONE


def test_the_uncertainty_has_two_digits_and_decides_those_of_the_value() -> None:
    assert quantities.with_interval(12.3456, 12.2226, 12.4686) == "12.35 ± 0.12"
    assert quantities.with_interval(12345.0, 12225.0, 12465.0) == "12340 ± 120"


def test_a_value_of_one_replicate_stands_without_an_interval() -> None:
    assert quantities.with_interval(1.5, math.nan, math.nan) == "1.500"
    assert quantities.with_interval(1.5, 0.0, math.inf) == "1.500"
    assert quantities.ratio(1.5, 0.0, math.inf) == "1.500"


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(0.904, "9.6 % less"), (1.031, "3.1 % more"), (1.0, "as much"), (4.0, "4.0 times as much")],
)
def test_a_ratio_reads_as_a_change(ratio: float, words: str) -> None:
    assert quantities.change(ratio) == words


def test_an_interval_reads_as_changes_in_the_order_of_their_size() -> None:
    assert quantities.change_between(0.90, 0.92) == "8.0 to 10 % less"
    assert quantities.change_between(1.02, 1.04) == "2.0 to 4.0 % more"
    assert quantities.change_between(0.99, 1.02) == "1.0 % less to 2.0 % more"
    assert quantities.change_between(0.0, math.inf) == "none: too few windows"


def test_a_lopsided_interval_is_written_by_its_ends() -> None:
    assert quantities.with_interval(5.4, 2.1, 13.0) == "5.4 [2.1, 13]"
