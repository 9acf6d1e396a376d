"""Which rows answer, and which may be summed? What an unfinished run has, never half a variant beside a whole one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from quiet import Remembering, measured

from energybench.analysis.summary import Summary, summarize
from energybench.journal import load
from energybench.report.answer import answer_of
from energybench.report.figures import save_figures
from energybench.report.figures.power_trace import most_telling_case
from energybench.report.tables import telling, whole_points


def rows(*points: tuple[str, str]) -> pd.DataFrame:
    """Cases with a latency, by comparison and variant."""
    return pd.DataFrame(
        [{"comparison": place, "variant": name, "loop_latency_s": 1e-6} for place, name in points],
    )


def points(frame: pd.DataFrame) -> list[str]:
    return [f"{place}{name}" for place, name in zip(frame["comparison"], frame["variant"], strict=True)]


def test_a_comparison_under_way_waits_and_a_variant_that_lacks_a_stage_has_no_sum() -> None:
    under_way = rows(("1", "a"), ("1", "b"), ("2", "a"), ("2", "b"), ("3", "a"))
    assert points(whole_points(under_way, complete=False)) == ["1a", "1b", "2a", "2b"]
    assert points(whole_points(under_way, complete=True)) == ["1a", "2a", "3a"], "b failed at 3 and cannot be summed"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A run of two stages, cut in the second of them."""
    base = tmp_path_factory.mktemp("interrupted")
    whole = summarize(load(measured(base / "whole", quick=False)[0]))
    first = whole.cases["comparison"].iloc[0]
    windows = sum(w.kind == "window" and w.comparison == first for w in whole.run.windows)
    with pytest.raises(KeyboardInterrupt):
        measured(base / "cut", quick=False, progress=Remembering(interrupt_after=windows + 1))
    (folder,) = (base / "cut" / "results").iterdir()
    return summarize(load(folder))


def test_what_an_interrupted_run_has_is_drawn_and_nothing_that_needs_all_its_stages(
    interrupted: Summary, tmp_path: Path
) -> None:
    assert 0 < interrupted.totals["loop_latency_s"].notna().sum() < 3, "a variant or two were at the second stage, too"
    assert set(telling(interrupted)["row"]) == {"case"}
    assert "channels 32, size 16" in {o.place for o in answer_of(interrupted).outcomes}, (
        "the pair of cases, not of totals"
    )
    drawn = {file.name: file.svg.read_text(encoding="utf-8") for file in save_figures(interrupted, tmp_path)}
    assert {"variants", "gap-latency", "gap-energy", "pairs", "power"} <= set(drawn)
    assert not [name for name in drawn if name.startswith(("stages", "group-size-networks"))]
    assert "channels 32" in drawn["variants"], "stages are panels where nothing is summed"
    budget = drawn["budget"]
    assert "1 of 2 stages so far" in budget
    assert all(name in budget for name in ("FgGC g=8", "E2GC G=8", "dense"))


def test_power_is_shown_of_a_case_that_has_an_interval(interrupted: Summary) -> None:
    shown = most_telling_case(interrupted)
    assert shown is not None
    assert shown.comparison == interrupted.cases["comparison"].iloc[0]
