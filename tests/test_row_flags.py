"""analysis/row_flags.py: a flag holds above its limit and not below it."""

import pytest
from quiet import summary_of

from energybench.analysis.book import Book
from energybench.analysis.row_flags import row_flags


@pytest.fixture(scope="module")
def a_row(tmp_path_factory):
    summary = summary_of(tmp_path_factory.mktemp("run"), quick=True)
    return Book(summary.run), summary.run.record.cases[0], summary.cases.iloc[0].to_dict()


@pytest.mark.parametrize(
    ("flag", "column", "below", "above"),
    [
        # Limits of `docs/trust.md`: requirements 6, 10, 16 and 21.
        ("burst", "latency_s", 1.019, 1.021),  # of loop_latency_s
        ("burst", "latency_s", 0.985, 0.975),
        ("counter-disagrees", "counter_vs_integral", 0.029, 0.031),
        ("counter-disagrees", "counter_vs_integral", -0.029, -0.031),
        ("throttled", "throttle_share", 0.0009, 0.0011),
        ("clocks-differ", "event_vs_host", -0.0049, -0.0051),
    ],
)
def test_a_limit_is_told_above_it_only(a_row, flag, column, below, above):
    book, case, row = a_row
    unit = row["loop_latency_s"] if column == "latency_s" else 1.0
    for value, holds in ((below, False), (above, True)):
        assert row_flags(book, case, book.of(case), row | {column: value * unit})[flag] is holds
