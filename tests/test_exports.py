"""Results elsewhere: every format says the same, a bad path fails before anything runs, no name does harm."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from quiet import measured
from report_example import example_summary, renamed

from energybench.analysis.compare import compare_variants
from energybench.analysis.comparison import Change, ComparedRow, Comparison
from energybench.analysis.gate import Gate, judge
from energybench.analysis.matching import Difference, Unmatched
from energybench.analysis.statistics import Interval
from energybench.analysis.summary import summarize
from energybench.cli import main
from energybench.journal import load
from energybench.report.exports import export_comparison, export_run, readings_frame

HOSTILE = "=cmd()|`a`*b*<script>\x1b[31m"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(tmp_path_factory.mktemp("exports"))[0]


def typed(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("out")
    done = typed("report", run, "--export-csv", at / "a.csv", "--export-json", at / "a.json", "--export-markdown",
                 at / "a.md", "--export-html", at / "a.html", "--export-readings", at / "r.csv")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "report.html" in done.output, "the table is printed all the same"
    return at


def test_the_csv_and_the_page_are_those_of_the_folder(run: Path, exported: Path) -> None:
    assert (exported / "a.csv").read_bytes() == (run / "results.csv").read_bytes()
    assert (exported / "a.html").read_bytes() == (run / "report.html").read_bytes()


def test_the_json_holds_answer_and_rows_without_words_json_lacks(run: Path, exported: Path) -> None:
    found = json.loads((exported / "a.json").read_text(), parse_constant=pytest.fail)
    frame = pd.read_csv(run / "results.csv")
    assert found["origin"] == "simulated"
    assert "E2GC" in found["answer"]["headline"]
    assert [row["energy_per_inference_j"] for row in found["results"]] == pytest.approx(frame["energy_per_inference_j"])
    assert {"energy_ratio", "verdict"} <= set(found["pairs"][0])


def test_the_markdown_opens_with_the_answer_and_says_what_was_simulated(exported: Path) -> None:
    lines = (exported / "a.md").read_text().splitlines()
    assert lines[0].startswith("# small on simulated")
    assert lines[2] == "**SIMULATED: nothing was measured.**"
    assert "E2GC" in lines[4]
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 3, "heading, rule, and the totals of three variants"
    assert len({line.count("|") for line in table}) == 1


def test_readings_are_every_reading_of_every_window(run: Path, exported: Path) -> None:
    frame = pd.read_csv(exported / "r.csv")
    found = load(run)
    assert len(frame) == sum(w.readings.rows for w in found.windows if w.readings)
    window = next(w for w in found.windows if w.readings and w.kind == "window")
    mine = frame[frame["window"] == window.number]
    assert list(mine["value"]) == pytest.approx([r.value for r in found.readings(window)])


def test_readings_as_parquet_are_the_same(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow (pip install 'energybench[parquet]')")
    export_run(summarize(load(run)), {"readings": str(tmp_path / "r.parquet")})
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "r.parquet"), readings_frame(load(run)), check_dtype=False
    )  # fmt: skip


def test_without_pyarrow_the_remedy_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = typed("run", "gconv", "--export-readings", tmp_path / "r.parquet")
    assert done.exit_code == 2
    assert "pip install pyarrow" in done.output


def test_a_dash_takes_the_tables_place_on_stdout(run: Path) -> None:
    done = typed("compare", run, "--export-csv", "-")
    assert done.stdout.startswith("scope,name,")
    assert len(done.stdout.splitlines()) == 1 + len(compare_variants(summarize(load(run)), margin=0.01).rows)


@pytest.mark.parametrize("path", ["no/such/folder/a.json", "."])
def test_a_bad_path_fails_before_anything_is_measured(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = typed("run", "gconv", "--device", "sim:h200", "--export-json", path)
    assert done.exit_code == 2
    assert f"--export-json {path}" in done.output
    assert list(tmp_path.iterdir()) == [], "neither a run nor a draft is left"


def test_one_path_takes_one_export_of_one_run(run: Path, tmp_path: Path) -> None:
    assert typed("report", run, run, "--export-csv", tmp_path / "a").exit_code == 2
    assert typed("report", run, "--export-csv", "-", "--export-json", "-").exit_code == 2
    assert typed("run", "gconv", "--dry-run", "--export-csv", tmp_path / "a").exit_code == 2


def test_run_exports_what_it_measured(tmp_path: Path) -> None:
    done = typed("run", "gconv", "--device", "sim:h200", "--quick", "--only", "E2GC G=8", "--set", "channels=256",
                 "--output", tmp_path / "run", "--export-json", tmp_path / "a.json")  # fmt: skip
    assert done.exit_code == 0, done.output
    variants = {row["variant"] for row in json.loads((tmp_path / "a.json").read_text())["results"]}
    assert variants == {"FgGC g=32", "E2GC G=8"}


def test_a_comparison_is_exported_with_its_intervals_and_verdicts(run: Path, tmp_path: Path) -> None:
    done = typed("compare", run, "--export-csv", tmp_path / "c.csv", "--export-markdown", tmp_path / "c.md")
    assert done.exit_code == 0, done.output
    frame = pd.read_csv(tmp_path / "c.csv")
    assert (
        (frame["energy_ratio_low"] <= frame["energy_ratio"]) & (frame["energy_ratio"] <= frame["energy_ratio_high"])
    ).all()
    assert set(frame["energy_verdict"]) <= {"less", "more", "same", "cannot tell"}
    assert (tmp_path / "c.md").read_text().count("\n|") == len(frame) + 2


def test_the_json_of_a_gated_comparison_tells_a_script_what_was_lost_and_why_it_failed(tmp_path: Path) -> None:
    gone = Unmatched("a case", "failed in B", lost=True)
    worse = Change(Interval(1.15, 1.1, 1.2, 5), 1.1, 1.2, 0.02, "more")
    row = ComparedRow("case", "x", "place", "v", "", 1.0, None, worse, None)
    found = Comparison("runs", ("a", "b"), ("one", "other"), 0.01, (row,), (gone,), (Difference("driver", "1", "2"),))
    export_comparison(found, {"json": str(tmp_path / "c.json")}, judge(found, [Gate("energy", 0.03)]))
    read = json.loads((tmp_path / "c.json").read_text())
    assert read["unmatched"] == [{"name": "a case", "because": "failed in B", "lost": True}]
    assert read["differences"] == [{"name": "driver", "a": "1", "b": "2"}]
    assert read["gate"]["exit_code"] == 1
    assert "FAILED" in read["gate"]["lines"][0]
    assert read["rows"][0]["energy_smallest_change"] == 0.02


def test_names_do_no_harm_in_any_format(tmp_path: Path) -> None:
    summary = renamed(example_summary(machine=False), "E2GC G=8", HOSTILE)
    export_run(summary, {"csv": str(tmp_path / "a.csv"), "markdown": str(tmp_path / "a.md")})
    markdown = (tmp_path / "a.md").read_text()
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "\x1b" not in markdown
    assert len({line.replace("\\|", "").count("|") for line in markdown.splitlines() if line.startswith("|")}) == 1
    assert "'=cmd()" in (tmp_path / "a.csv").read_text()


def test_a_device_can_be_written_to() -> None:
    export_run(example_summary(machine=False), {"csv": "/dev/null"})
    assert Path("/dev/null").is_char_device()
