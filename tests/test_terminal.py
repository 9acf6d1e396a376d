"""The words in the terminal: the answer first, 80 columns, colour only where it is wanted, names never obeyed."""

from __future__ import annotations

import dataclasses
import io
import math
import sys

import pandas as pd
import pytest
from report_example import cut_short, example_summary, renamed

from energybench.report.quantities import NONE
from energybench.report.terminal import print_summary, render_summary

HOSTILE = "\x1b]0;owned\x07[bold red]E2GC[/] \x1b[2J\nG=8\u202e"


@pytest.mark.parametrize("width", [40, 50, 72, 80, 120, 200])
def test_no_line_of_the_tables_is_wider_than_the_terminal(width: int) -> None:
    for full in (False, True):
        lines = render_summary(example_summary(full=full), width=width).splitlines()
        paths = ("page", "data", "plots", "next")  # must stay whole to be copied
        assert max(len(line) for line in lines if not line.startswith(paths)) <= width


def test_the_answer_comes_before_the_table() -> None:
    text = render_summary(example_summary())
    assert text.splitlines()[0].startswith("gconv on Simulated NVIDIA H200, 6 cases")
    assert text.index("At matched MACs") < text.index("variant")


def test_the_table_holds_joules_ratio_latency_watts_and_marks_the_least() -> None:
    summary = example_summary()
    lines = render_summary(summary).splitlines()
    head = next(line for line in lines if line.startswith("variant"))
    assert head.split() == ["variant", "energy", "µJ", "ratio", "[95", "%]", "latency", "ns", "W", "flags"]
    assert "total of the stages · per inference" in lines
    least = summary.totals.loc[summary.totals["energy_per_inference_j"].idxmin()]
    marked = [line for line in lines if " * " in line]
    assert len(marked) == 1
    assert marked[0].startswith(least["variant"])
    assert f"{least['power_w']:.0f}" in marked[0]
    assert next(line for line in lines if line.startswith("FgGC g=32")).split()[5] == "baseline"


def test_decimal_points_stand_under_each_other() -> None:
    lines = render_summary(example_summary()).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("variant")) + 1
    assert len({line.index(".", 12) for line in lines[first : first + 6]}) == 1


@pytest.mark.parametrize("width", [40, 72, 80, 200])
def test_what_goes_first_in_a_narrow_terminal_is_never_who_won_nor_what_was_simulated(width: int) -> None:
    text = render_summary(example_summary(full=True), width=width)
    assert "\nSIMULATED: nothing was measured\n" in text
    heads = [line.split() for line in text.splitlines() if line.startswith("variant")]
    assert heads
    assert all("ratio" in head and {"flags", "q"} & set(head) for head in heads)
    assert text.count(" * ") >= len(heads)


def test_a_wide_terminal_holds_more() -> None:
    head = next(
        line for line in render_summary(example_summary(), width=200).splitlines() if line.startswith("variant")
    )
    assert "latency ratio" in head
    assert "pJ/MAC" in head


def test_a_prediction_says_so_and_compares_no_model_with_itself() -> None:
    summary = example_summary(full=True, simulated=False)
    record = summary.run.record.model_copy(update={"modelled": {"work": {}}})
    sizes = summary.group_size.assign(predicted_optimum=summary.group_size.measured_optimum, measured_optimum=math.nan)
    run = dataclasses.replace(summary.run, record=record)
    text = render_summary(dataclasses.replace(summary, run=run, group_size=sizes))
    assert "\nMODELLED: nothing was measured\n" in text
    assert "Predicted: at matched MACs" in text
    assert "optimum group size, modelled: predicted G=" in text
    assert "as good as the measured" not in text


def test_an_unfinished_run_says_how_to_go_on() -> None:
    text = render_summary(cut_short(example_summary(full=True)))
    assert "interrupted: the same command goes on" in text
    assert text.endswith("\nnext  energybench run gconv --device sim:h200   goes on where it stopped\n")


def test_an_unfinished_run_shows_what_it_measured_and_says_that_it_is_not_all() -> None:
    text = render_summary(cut_short(example_summary(full=True), stopped="budget"), width=200)
    assert "stopped by its budget" in text
    assert " ".join(text.split()).count("9 of 468 cases so far. Not at matched MACs") == 1
    heads = [number for number, line in enumerate(text.splitlines()) if line.startswith("variant")]
    assert len(heads) == 1, "one setting was measured"
    assert all(NONE not in line for line in text.splitlines()[heads[0] : heads[0] + 10])


def test_colour_is_only_there_when_asked_for() -> None:
    assert "\x1b" not in render_summary(example_summary(), color=False)
    assert "\x1b[" in render_summary(example_summary(), color=True)


def test_a_terminal_that_cannot_do_anything_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    for term, escapes in (("dumb", False), ("xterm", True)):
        monkeypatch.setenv("TERM", term)
        monkeypatch.setattr(sys, "stdout", screen := Terminal())
        print_summary(example_summary())
        assert ("\x1b" in screen.getvalue()) == escapes


def test_a_pipe_gets_plain_text_that_ends_with_a_newline(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(example_summary())
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.endswith("\n")


def test_an_ascii_terminal_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    print_summary(example_summary())
    sys.stdout.flush()
    text = raw.getvalue().decode("ascii")
    assert "+-" in text
    assert "?" not in text


def test_names_from_a_suite_are_shown_and_not_obeyed() -> None:
    text = render_summary(renamed(example_summary(), "E2GC G=8", HOSTILE))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold red]E2GC[/]" in text, "markup is text"


def test_the_legend_explains_the_marks_that_occur_and_no_others() -> None:
    summary = example_summary()
    flagged = dataclasses.replace(summary, totals=summary.totals.assign(flags="throttled"))
    text = render_summary(flagged, width=200)
    assert "T heat or hardware slowed the clocks" in text
    assert "the interval is wider" not in text


def test_few_shapes_are_listed_with_measured_and_modelled_optimum() -> None:
    row = example_summary().group_size.iloc[0]
    text = render_summary(example_summary(), width=100)
    assert f"C=256 28x28, batch 32, float16: found {row['measured_optimum']}" in text
    assert f"thesis {row['thesis_optimum']}, physical {row['physical_optimum']}, knee {row['knee']}" in text


def test_many_shapes_are_counted() -> None:
    text = " ".join(render_summary(example_summary(full=True)).split())
    assert "of 52 shapes" in text
    summary = example_summary(full=True)
    hits = sum(str(8) in str(s).split() for s in summary.group_size["measured_set"])
    assert f"thesis in {hits} of 52" in text
    assert "thesis: the paper's rule" in text
    assert "measured" not in text.split("optimum group size")[1], "nothing was"


def test_without_joules_the_table_is_about_latency_and_the_reason_is_said() -> None:
    text = " ".join(render_summary(example_summary(energy=False, simulated=False)).split())
    assert "this CPU exposes no RAPL counters" in text
    assert "pJ/MAC" not in text
    assert "energybench doctor" in text


def test_failed_cases_are_counted_with_an_example_and_its_reason() -> None:
    summary = example_summary()
    status = pd.Series(["failed", *["ok"] * 5])
    failed = dataclasses.replace(summary, cases=summary.cases.assign(status=status, reason="out of memory"))
    text = " ".join(render_summary(failed).split())
    assert "5 of 6 cases" in text
    assert "1 case failed: FgGC g=8" in text
    assert "out of memory" in text


def test_failures_are_told_by_reason_the_commonest_first() -> None:
    summary = example_summary()
    status, reason = ["failed"] * 5 + ["ok"], ["a", "out of memory", "out of memory", "b", "c", ""]
    cases = summary.cases.assign(status=status, reason=reason)
    text = " ".join(render_summary(dataclasses.replace(summary, cases=cases)).split())
    assert "2 cases failed, e.g. FgGC g=32" in text
    assert text.index("out of memory") < text.index(": a ")
    assert "1 more failed for other reasons" in text


def test_it_ends_with_where_the_files_are_and_what_to_type_next() -> None:
    tail = render_summary(example_summary()).splitlines()[-4:]
    assert tail[0] == "page  results/gconv-example/report.html"
    assert tail[-1] == "next  energybench run gconv --gpu 0   on a real GPU"


def test_the_advice_keeps_its_command_whole_and_puts_the_reason_below_a_long_one() -> None:
    summary = example_summary()
    record = summary.run.record.model_copy(
        update={"command": ["energybench", "run", "gconv", "--set", "x=" + "1," * 30]}
    )
    lines = render_summary(
        dataclasses.replace(summary, run=dataclasses.replace(summary.run, record=record))
    ).splitlines()
    assert lines[-2].startswith("next  energybench run gconv --set x=1,1,")
    assert lines[-1].split() == ["on", "a", "real", "GPU"]
