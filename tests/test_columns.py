"""One dictionary of columns: the README's table, the CSV and the tables of a run all follow it."""

from pathlib import Path

import pytest
from quiet import summary_of

from energybench import columns
from energybench.analysis.book import Book
from energybench.analysis.row_flags import row_flags
from energybench.flags import FLAGS, marks

README = Path(__file__).parents[1] / "README.md"
UNITS = {"_j": "J", "_s": "s", "_w": "W", "_hz": "Hz", "_c": "degC", "_bytes": "bytes"}


def test_the_readme_shows_the_dictionary_as_it_is():
    text = README.read_text(encoding="utf-8")
    assert columns.with_table(text) == text, "run: python -m energybench.columns"


@pytest.mark.parametrize("dictionary", [columns.RESULTS, columns.PAIRS, columns.OPERATORS, columns.WINDOWS])
def test_names_are_unique_and_end_in_their_unit(dictionary):
    names = columns.names(dictionary)
    assert len(set(names)) == len(names)
    for column in dictionary:
        for ending, unit in UNITS.items():
            if column.name.endswith(ending) and "_per_" not in column.name and not column.name.startswith("per_"):
                assert column.unit.startswith(unit), column


def test_a_run_has_every_column_in_the_dictionarys_order_and_its_axes_after(tmp_path):
    summary = summary_of(tmp_path, quick=True)
    expected = columns.names(columns.RESULTS)
    assert list(summary.cases.columns[: len(expected)]) == expected
    assert set(summary.cases.columns[len(expected) :]) == {"channels", "size", "network"}, "a number has no column"
    assert list(summary.pairs.columns) == columns.names(columns.PAIRS)
    assert list(summary.windows.columns) == columns.names(columns.WINDOWS)


def test_every_flag_that_a_row_can_carry_is_in_the_dictionary_and_the_other_way_round(tmp_path):
    summary = summary_of(tmp_path, quick=True)
    book = Book(summary.run)
    for case, row in zip(summary.run.record.cases, summary.cases.to_dict("records"), strict=True):
        assert list(row_flags(book, case, book.of(case), row)) == list(FLAGS)


def test_every_flag_has_a_mark_a_meaning_and_a_remedy():
    for name, flag in FLAGS.items():
        assert flag.name == name
        assert len(flag.mark) == 1
        assert flag.meaning
        assert flag.remedy
    assert marks("wide simulated unheard-of") == "S~"
