"""The command line as a user meets it: exit codes, no tracebacks, and whole runs in processes of their own."""

import csv
import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from quiet import SMALL

from energybench.cli import main

GOOD = SMALL


def energybench(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "energybench", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "80"},
    )


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """What is typed, without the seconds a new process takes to load PyTorch; what escapes ``main`` fails the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *words: CliRunner().invoke(main, list(words), prog_name="energybench", catch_exceptions=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One quick simulated run of gconv, outside the checkout."""
    folder = tmp_path_factory.mktemp("user")
    process = energybench("run", "gconv", "--device", "sim:h200", "--quick", "--output", "run", cwd=folder)
    return folder, process


def test_a_quick_simulated_run_ends_well_and_says_that_it_is_simulated(done):
    _, process = done
    assert process.returncode == 0, process.stderr
    assert "SIMULATED" in process.stdout
    assert "simulated h200" in process.stderr
    assert "matched MACs" in process.stdout
    assert max(len(line) for line in process.stdout.splitlines()) <= 80


def test_the_run_folder_has_everything_it_promises(done):
    folder, _ = done
    run = folder / "run"
    names = {p.name for p in run.iterdir()}
    assert {"run.json", "windows.jsonl", "operators.jsonl", "readings.csv.gz", "results.csv", "report.html"} <= names
    figures = {p.suffix for p in (run / "figures").iterdir()}
    assert figures == {".svg", ".png"}
    with (run / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["provenance"] for row in rows} == {"simulated"}
    assert {row["row"] for row in rows} == {"case", "total"}
    assert all(float(row["energy_per_inference_j"]) > 0 for row in rows)


def test_every_page_and_figure_of_a_simulated_run_says_so(done):
    folder, _ = done
    assert "SIMULATED" in (folder / "run" / "report.html").read_text().upper()
    for figure in (folder / "run" / "figures").glob("*.svg"):
        assert "SIMULATED" in figure.read_text().upper(), figure.name


def test_the_report_rebuilds_from_the_folder_alone(done):
    folder, _ = done
    before = (folder / "run" / "results.csv").read_bytes()
    for name in ("results.csv", "report.html"):
        (folder / "run" / name).unlink()
    process = energybench("report", "run", cwd=folder)
    assert process.returncode == 0, process.stderr
    assert (folder / "run" / "results.csv").read_bytes() == before
    assert (folder / "run" / "report.html").stat().st_size < 3_000_000


def test_a_dry_run_shows_cases_shared_work_minutes_and_joules_and_writes_nothing(typed, tmp_path):
    process = typed("run", "gconv", "--device", "sim:h200", "--dry-run")
    assert process.exit_code == 0, process.stderr
    assert "468 cases" in process.stdout
    assert "236 distinct measurements" in process.stdout
    assert "the same work as" in process.stdout
    assert "min, about" in process.stdout
    assert "kJ" in process.stdout
    assert not list(tmp_path.iterdir())


def test_the_cpu_measures_latency_and_says_why_there_are_no_joules(tmp_path):
    (tmp_path / "small.yaml").write_text(GOOD)
    process = energybench("run", "small.yaml", "--device", "cpu", "--meter", "none", "--quick", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    (run,) = (tmp_path / "results").iterdir()
    with (run / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["row"] == "case"]
    assert all(float(row["loop_latency_s"]) > 0 for row in rows)
    assert all(row["energy_per_inference_j"] == "" for row in rows)
    assert all(row["reason"].startswith("no joules: ") for row in rows)
    assert {row["provenance"] for row in rows} == {"measured"}


@pytest.mark.parametrize(
    ("words", "status", "hint"),
    [
        (["run", "gconf"], 2, "did you mean 'gconv'"),
        (["run", "missing.yaml"], 2, "there is no file 'missing.yaml'"),
        (
            ["run", "gconv", "--device", "sim:h200", "--quick", "--output", "/proc/here"],
            2,
            "nothing has been measured yet",
        ),
        (["run", "gconv", "--gpu", "first"], 3, "neither the number of a GPU nor a UUID"),
        (["run", "gconv", "--device", "warp"], 3, "there is no device"),
        (["run", "gconv", "--gpu", "0"], 3, "CUDA"),
        (["run", "gconv", "--device", "sim:h201"], 3, "did you mean 'h200'"),
        (["run", "gconv", "--device", "cpu", "--meter", "nvml"], 3, ""),
        (["run", "gconv", "--gpu", "0", "--device", "cpu"], 2, "exclude"),
        (["run", "gconv", "--device", "sim:h200", "--precision", "many"], 2, "precision"),
        (["run", "gconv", "--device", "sim:h200", "--budget", "soon"], 2, "duration"),
        (["run", "gconv", "--device", "sim:h200", "--set", "batch"], 2, "--set"),
        (["run", "gconv", "--device", "sim:h200", "--set", "bach=1"], 2, "batch"),
        (["run", "gconv", "--device", "sim:h200", "--only", "nothing*"], 2, "nothing*"),
        (["run", "gconv", "--device", "sim:h200", "--aa", "--only", "E2GC*"], 2, "--aa measures the baseline alone"),
        (["run", "gconv", "--device", "sim:h200", "--max-cases", "100"], 2, "468 cases"),
        (["report", "."], 2, "is not a run folder"),
        (["report", "nowhere"], 2, "is not a run folder"),
        (["show", "gconv.yml"], 2, ""),
        (["model", "group-size", "--channels", "128", "--size", "28", "--machine", "p1000"], 2, "p100"),
        (
            ["model", "group-size", "--channels", "128", "--size", "28", "--machine", "p100-pcie", "--dtype", "x"],
            2,
            "x",
        ),
        (["frobnicate"], 2, "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_a_user_gets_wrong_ends_in_one_clear_error(typed, words, status, hint):
    result = typed(*words)
    assert result.exit_code == status, result.stderr
    assert hint in result.stderr


@pytest.mark.parametrize(("words", "status"), [(["run", "gconf"], 2), (["run", "gconv", "--device", "warp"], 3)])
def test_a_process_ends_with_the_status_and_without_a_traceback(tmp_path, words, status):
    process = energybench(*words, cwd=tmp_path)
    assert process.returncode == status, process.stderr
    assert process.stderr.startswith("energybench: ")
    assert "Traceback" not in process.stderr


def test_a_wrong_suite_is_named_by_file_line_field_and_a_suggestion(typed, tmp_path):
    (tmp_path / "wrong.yaml").write_text(GOOD.replace("groups: 8}", "groops: 8}", 1))
    result = typed("run", "wrong.yaml", "--device", "sim:h200")
    assert result.exit_code == 2
    assert "wrong.yaml:6" in result.stderr
    assert "groops" in result.stderr
    assert "groups" in result.stderr.split("groops", 1)[1]


def test_the_schema_is_json(tmp_path):
    process = energybench("schema", cwd=tmp_path)
    assert json.loads(process.stdout)["properties"]["baseline"]


def test_the_shipped_suites_are_listed_and_shown(typed):
    assert "gconv_networks" in typed("list").stdout
    shown = typed("show", "gconv").stdout
    assert "E2GC G=8: GroupConv2d, matched in MACs with FgGC g=32" in shown
    assert "cases: 468" in shown


def test_the_model_prints_every_named_model_with_its_choice(typed):
    words = ("model", "group-size", "--channels", "128", "--size", "28", "--kernel", "3", "--machine", "p100-pcie")
    text = typed(*words).stdout
    # The P100 PCIe's knee for 3x3 in float32 is 5.65 (reference table), so the largest divisor below it is 4.
    assert "knee: G = 4" in text
    assert "5.64" in text or "5.65" in text
    assert "thesis: G = 8" in text
    assert "physical: G = " in text
    assert "7,225,344" in text


def test_the_models_figures_are_drawn_where_they_are_asked_for(typed, tmp_path):
    layer = ("model", "group-size", "--channels", "128", "--size", "28", "--machine", "h200", "--figures", "layer")
    assert "figure layer/sensitivity.svg" in typed(*layer).stdout
    network = ("model", "group-size", "--network", "mobilenet_v1", "--machine", "h200", "--figures", "network")
    assert "figure network/network.svg" in typed(*network).stdout
    drawn = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")}
    assert drawn == {"layer/knees.png", "layer/sensitivity.png", "network/knees.png", "network/network.png"}
    assert typed(*network[:-1], "/proc/here").exit_code == 2


def test_a_machine_sheet_is_told_with_the_source_of_every_number(typed):
    text = typed("machines", "show", "h200").stdout
    assert "bandwidth_bytes_per_s  4.800 TB/s" in text
    assert "data sheet" in text
    assert "206.1" in text  # 989.4 TFLOP/s over 4.8 TB/s
    assert max(map(len, text.splitlines())) <= 96
    text = typed("machines", "show", "rtx-3090").stdout
    assert "peak_flops_per_s.float16  71.00 TFLOP/s" in text
    assert "float16_accumulate_peak_flops_per_s.float16  142.0 TFLOP/s" in text


def test_environment_variables_name_options(typed, tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(GOOD)
    monkeypatch.setenv("ENERGYBENCH_RUN_DEVICE", "sim:a100-sxm4-80gb")
    assert "A100" in typed("run", "small.yaml", "--dry-run").stdout
