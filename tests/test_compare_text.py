"""The comparison in a terminal: 80 columns, plain in a pipe, hostile names inert, every number with its meaning."""

import re

import pytest
from compare_example import FLAT, SUITE, case_record, simulate, written

from energybench.analysis.compare import compare_runs, compare_variants
from energybench.analysis.gate import judge, parse_gate
from energybench.analysis.model_error import compare_with_model
from energybench.analysis.run_model import run_model
from energybench.report.compare_text import print_comparison, print_model_comparison, render_comparison

CASE = "v | size=1"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return simulate(folder / "old", seed=1), simulate(folder / "new", device="sim:p100-pcie", seed=2)


def two(seconds=1.04, joules=1.06, case=CASE, **given):
    old = written({case: (FLAT, FLAT)}, name="a")
    return compare_runs(
        old, written({case: ([seconds * v for v in FLAT], [joules * v for v in FLAT])}, name="b", **given)
    )


def flat(text):
    return re.sub(r"\s+", " ", text)


def test_no_line_is_wider_than_the_terminal(runs):
    old, new = runs
    comparison = compare_runs(old, new)
    gate = judge(comparison, [parse_gate("energy:3%")])
    for shown in (comparison, compare_variants(old), compare_with_model(old, run_model(old.run))):
        for width in (80, 120):
            assert max(map(len, render_comparison(shown, gate, width=width).splitlines())) <= width


def test_a_change_is_a_signed_percentage_with_its_half_width_and_verdict():
    line = next(line for line in render_comparison(two()).splitlines() if line.startswith("v "))
    # FLAT has sd 0.0894 % of 6 windows: half-width 2.228 x 0.0894 x sqrt(2 / 6) = 0.115 %, times the ratio
    assert flat(line) == "v +4.00 ±0.12 % slower +6.00 ±0.12 % more +1.9 %"


def test_a_large_change_is_a_factor():
    assert "×3.00" in render_comparison(two(seconds=3.0))


def test_counts_smallest_change_and_gain_are_said():
    text = flat(render_comparison(two()))
    assert "cases, latency: 0 faster, 1 slower, 0 the same within 1 %, 0 cannot tell" in text
    assert "cases, energy: 0 less, 1 more" in text
    assert "smallest change this could show in energy (80 % power)" in text
    assert "sensor gain: one board and one sensor" in text


def test_the_gain_across_boards_has_its_own_line():
    text = flat(render_comparison(two(device={"uuid": "GPU-2"})))
    assert "sensor gain: two boards: each sensor's gain is known to ±5 % only" in text
    assert "cannot tell" in text


def test_beside_cannot_tell_stands_what_could_have_been_seen():
    wild = [0.9, 1.1, 0.95, 1.07, 1.02, 0.97]
    old = written({CASE: (wild, wild)}, name="a")
    text = render_comparison(compare_runs(old, written({CASE: ([1.01 * w for w in wild], wild)}, name="b")))
    assert re.search(r"cannot tell.*\n.*sees \d+ %", text)


def test_what_differs_between_the_runs_is_shown():
    assert "meter driver: none -> 580.2" in render_comparison(two(meter={"driver": "580.2"}))


def test_simulated_and_quick_are_said_before_the_numbers(runs):
    old, new = runs
    text = render_comparison(compare_runs(old, new))
    assert text.index("simulated: nothing was measured") < text.index("variant")


def test_every_case_that_is_not_compared_is_named():
    old = written({f"v | size={i}": (FLAT, FLAT) for i in range(60)}, name="a")
    text = render_comparison(compare_runs(old, written({"v | size=0": ([2 * v for v in FLAT], FLAT)}, name="b")))
    assert "not compared: 59" in text
    assert all(f"    v | size={i}\n" in text for i in range(1, 60))


def test_a_note_that_many_rows_share_is_written_once():
    names = [f"v | size={i}" for i in range(4)]
    old = written(dict.fromkeys(names, (FLAT, FLAT)), name="a")
    text = flat(render_comparison(compare_runs(old, written(dict.fromkeys(names, (FLAT, [])), name="b"))))
    assert text.count("B: no joules: no meter") == 1
    assert "note (4 rows)" in text


def test_latency_alone_has_no_column_of_joules():
    old = written({CASE: (FLAT, [])}, name="a")
    text = render_comparison(compare_runs(old, written({CASE: ([1.1 * v for v in FLAT], [])}, name="b")))
    header = next(line for line in text.splitlines() if line.startswith("variant"))
    assert "latency" in header
    assert "energy" not in header
    assert "sensor gain" not in text


def test_variants_stand_under_the_one_they_are_judged_by(runs):
    text = render_comparison(compare_variants(runs[0]))
    assert ", against FgGC g=32" in text
    assert "MACs" in text


def test_the_verdict_of_the_gate_comes_last(runs):
    comparison = compare_runs(*runs)
    text = render_comparison(comparison, judge(comparison, [parse_gate("latency:5%")]))
    assert "gate latency:5%: FAILED" in text
    assert text.index("gate latency:5%") > text.index("smallest change")


def test_the_model_is_shown_beside_the_measurement_with_its_scores(runs):
    text = render_comparison(compare_with_model(runs[0], run_model(runs[0].run)))
    assert "MAPE" in text
    assert "rank correlation" in text
    assert "Simulated" in text
    assert re.search(r"^all\s+3 ", text, re.MULTILINE)
    assert re.search(r"^the roofline\s+3 ", text, re.MULTILINE)
    assert "kernel efficiencies: libraries" in flat(text)
    assert "stated" in text


def test_names_are_shown_and_never_obeyed():
    evil = "\x1b[2J\x07[red]v\u202e"
    case = case_record(CASE, variant=evil, comparison="\x1b]0;owned\x07[/]here")
    given = {"cases": [case], "device": {"title": "\x1b[31mBoard"}, "meter": {"driver": "\x9b31m\n580"}}
    slower, gone = {CASE: ([1.1 * v for v in FLAT], [])}, [("\x1b[1mgone", "\x1b[2mwhy")]
    comparison = compare_runs(
        written({CASE: (FLAT, FLAT)}, name="a\x1b[5m", **given),
        written(slower, name="b\r\x08", skipped=gone, cases=[case]),
    )
    text = render_comparison(comparison, judge(comparison, [parse_gate("latency:3%")]))
    assert not [c for c in text if (not c.isprintable()) and c != "\n"]
    assert "[red]v" in text
    assert "[/]here" in text


def test_colour_is_written_only_where_it_is_wanted(runs, monkeypatch, capsys):
    comparison = compare_runs(*runs)
    assert "\x1b[" in render_comparison(comparison, color=True)
    assert "\x1b" not in render_comparison(comparison)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    print_comparison(comparison)
    print_model_comparison(compare_with_model(runs[0], run_model(runs[0].run)))
    out = capsys.readouterr().out
    assert out.startswith("A  old")
    assert "\x1b" not in out


def test_declared_pairs_are_counted_apart_from_what_differs_in_macs_by_design(tmp_path):
    text = SUITE.replace(
        "input:", "  dense: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: 1}}\ninput:"
    )
    shown = flat(render_comparison(compare_variants(simulate(tmp_path / "run", suite=text, quick=True))))
    assert re.search(r"declared pairs, energy: \d+ less", shown)
    assert re.search(r"others, energy: \d+ less", shown)


def test_a_factor_shows_the_digits_of_its_half_width():
    assert re.search(r"×3\.00\d ±0\.00\d slower", render_comparison(two(seconds=3.0)))
