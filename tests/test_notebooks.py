"""The notebooks run from top to bottom, say what they were committed with, and those that interpret need no torch."""

import os
import shutil
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = ("01_first_run", "02_group_size", "03_waterline", "04_trust")
INTERPRETING = NAMES[1:]

nbformat = pytest.importorskip("nbformat", reason="the extra notebooks is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra notebooks is not installed")
pytest.importorskip("ipykernel", reason="the extra notebooks is not installed")

NO_TORCH = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("a notebook that interprets must not need torch")

sys.meta_path.insert(0, Refusing())
"""


def committed(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)


@pytest.fixture
def beside_the_runs(tmp_path):
    """A copy of the folder, so that nothing a notebook writes ends up in the checkout."""
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    return tmp_path / "notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_top_to_bottom(name, beside_the_runs, monkeypatch):
    paths = [str(NOTEBOOKS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    notebook = committed(name)
    if name in INTERPRETING:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_TORCH))
    resources = {"metadata": {"path": str(beside_the_runs)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_with_its_outputs_and_nobodys_paths(name):
    notebook = committed(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell.outputs) for cell in code) >= len(code) - 2
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert sys.prefix not in text
    assert "Traceback" not in text


def test_recorded_runs_are_small_and_say_that_they_are_simulated():
    import energybench

    runs = sorted((NOTEBOOKS / "runs").iterdir())
    assert len(runs) == 4
    for folder in runs:
        assert sum(path.stat().st_size for path in folder.iterdir()) < 2**21
        summary = energybench.summarize(folder)
        assert set(summary.cases["provenance"]) == {"simulated"}
        assert summary.has_energy
