"""The pages in docs/ are true: reference pages are current, commands and snippets run, the site builds."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
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


def test_the_tests_of_the_ci_page_use_the_fixture_as_it_is():
    import inspect

    from energybench.pytest_plugin import EnergyBenchmark

    (block,) = code_blocks("measure_in_ci.md", "python")
    used = set(re.findall(r"(max_\w+|baseline)=", block))
    assert used <= set(inspect.signature(EnergyBenchmark.__call__).parameters)
    assert len(used) == 4
