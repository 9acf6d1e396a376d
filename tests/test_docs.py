"""The pages in docs/ are true: reference pages are current, commands and snippets run, the site builds."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from quiet import measured

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MAKES_NO_SENSE_HERE = ("make setup",)


def code_blocks(name, language):
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def typed(name):
    """Command lines of a page's sh blocks, without comments."""
    for block in code_blocks(name, "sh"):
        for line in block.splitlines():
            if line.strip() and not line.startswith(MAKES_NO_SENSE_HERE):
                yield shlex.split(line, comments=True)


@pytest.mark.parametrize("name", ["suite.md", "columns.md", "cli.md", "machines.md", "shipped_suites.md"])
def test_a_reference_page_is_what_the_code_says(name):
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    committed = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert committed == generate.pages()[name], "make docs"


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "tutorial" / "index.html").exists()
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert pages == listed, "every page is in the navigation"


def test_the_tutorial_can_be_typed_from_top_to_bottom(tmp_path):
    (text,) = code_blocks("tutorial.md", "yaml")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    commands = list(typed("tutorial.md"))
    assert len(commands) >= 10
    for words in commands:
        assert words[0] == "energybench"
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    for run in ("first", "mine", "mine-a100", "aa"):
        assert (tmp_path / "results" / run / "report.html").exists()


def test_the_python_page_runs(tmp_path, monkeypatch, capsys):
    measured(tmp_path, quick=True)
    monkeypatch.chdir(tmp_path)
    (folder,) = (tmp_path / "results").iterdir()
    folder.rename(tmp_path / "results" / "first")
    names = {}
    for block in code_blocks("python.md", "python"):
        exec(block, names)
    said = capsys.readouterr().out
    assert "per inference" in said
    assert "grouped over dense: 0." in said
    assert names["summary"].cases["energy_per_inference_j"].notna().all()


CHANGED = """
name: ours
about: A grouped convolution that a commit makes dense
baseline: layer
variants:
  layer: {layer: "ours_layers:Ours", args: {channels: 64}}
input: [8, 64, 28, 28]
axes: {dtype: [float16]}
method: {windows: 6, window_s: 300ms}
"""
LAYER = """
import torch

class Ours(torch.nn.Conv2d):
    def __init__(self, channels):
        super().__init__(channels, channels, 3, padding=1, groups=GROUPS)
"""
STAND_INS = """
pip() { :; }                      # what is measured lies in the current folder, installed or not
git() { cp base/ours_layers.py .; }
energybench() { "$PYTHON" -m energybench "${@//--gpu/--device}"; }
"""


def test_the_workflow_of_the_ci_page_measures_both_sides_and_fails_where_energy_regressed(tmp_path):
    (workflow,) = code_blocks("measure_in_ci.md", "yaml")
    steps = yaml.safe_load(workflow)["jobs"]["energy"]["steps"]
    (script,) = [step["run"] for step in steps if "energybench run" in step.get("run", "")]
    script = script.replace("--gpu 0", "--gpu sim:h200").replace("${{ github.event.pull_request.base.sha }}", "base")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "ours.yaml").write_text(CHANGED, encoding="utf-8")
    (tmp_path / "base").mkdir()
    for folder, groups in ((tmp_path, 1), (tmp_path / "base", 8)):
        (folder / "ours_layers.py").write_text(LAYER.replace("GROUPS", str(groups)), encoding="utf-8")
    done = subprocess.run(
        ["bash", "-e", "-c", STAND_INS + script],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "gate energy:3%: FAILED" in done.stdout


def test_the_tests_of_the_ci_page_use_the_fixture_as_it_is():
    import inspect

    from energybench.pytest_plugin import EnergyBenchmark

    (block,) = code_blocks("measure_in_ci.md", "python")
    used = set(re.findall(r"(max_\w+|baseline)=", block))
    assert used <= set(inspect.signature(EnergyBenchmark.__call__).parameters)
    assert len(used) == 4


def test_each_requirement_names_tests_that_exist():
    text = (DOCS / "trust.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE))
    assert list(rows) == [str(number) for number in range(1, 26)]
    for number, row in rows.items():
        assert "test_" in row, number
    for file, name in re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", text):
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in source, f"{file}::{name}"
