"""Which fields tell rows apart: numbers of the summed axis are stages, those of another axis are settings."""

from quiet import SMALL, measured

from energybench.analysis.summary import summarize
from energybench.journal import load
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
    assert [line for line in text.splitlines() if "total of the stages" in line] == [
        "few 1, total of the stages",
        "few 2, total of the stages",
    ]
