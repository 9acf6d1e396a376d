"""Which fields tell rows apart: numbers of the summed axis are stages, those of another axis are settings."""

import pytest
from quiet import SMALL, measured, summary_of

from energybench.analysis.summary import summarize
from energybench.journal import load
from energybench.report.figures.choice import pairs_at
from energybench.report.settings import settings_of
from energybench.report.terminal import render_summary

SWEPT = SMALL.replace("groups: 1}", "groups: $few}").replace("  batch: [4]\n", "  few: [1, 2]\n  batch: [4]\n")


def test_a_number_of_an_axis_that_is_not_summed_tells_totals_apart(tmp_path):
    folder, _ = measured(tmp_path, text=SWEPT)
    run = load(folder)
    settings = settings_of(run.record)
    assert settings.stages == ("channels", "size")
    assert settings.others[0] == "few"
    text = render_summary(summarize(run), width=100)
    headings = [line for line in text.splitlines() if "total of the stages" in line]
    assert [heading[:5] for heading in headings] == ["few 1", "few 2"]


def test_the_total_beside_a_settings_stages_is_the_one_they_add_up_to(tmp_path):
    summary = summary_of(tmp_path, text=SWEPT.replace("groups: 8}", "groups: $few}"))
    settings = settings_of(summary.run.record)
    for few in (1, 2):
        part = summary.cases[summary.cases["few"] == few]
        chosen = pairs_at(summary, settings, part)
        mine = chosen[(chosen["variant"] == "E2GC G=8") & (chosen["kind"] == "matched")]
        (total,) = mine[mine["scope"] == "total"].to_dict("records")
        at = part.set_index(["comparison", "variant"])
        spent = {
            variant: sum(
                float(at.loc[(place, variant), "energy_per_inference_j"] * at.loc[(place, variant), "repeat"])
                for place in mine[mine["scope"] == "case"]["comparison"]
            )
            for variant in ("E2GC G=8", "FgGC g=8")
        }
        assert total["energy_ratio"] == pytest.approx(spent["E2GC G=8"] / spent["FgGC g=8"], rel=2e-3)
        assert len(mine) == 3  # two stages and their total
