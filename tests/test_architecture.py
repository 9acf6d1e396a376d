"""The house keeps its shape: imports only go down, torch stays in the upper bulb, reading commands never load it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "energybench"

LAYERS = (
    {"errors", "columns", "readings", "flags", "catalogue", "spelling", "clock", "lock", "isolation", "__init__"},
    {"cost.operator", "suite.document", "machine_sheet"},
    {"cost.product", "cost.traffic", "suite.model"},
    {"cost.convolution"},
    {"cost"},
    {"machine", "sensor", "cost.fusion", "cost.attention", "cost.kernels"},
    {"suite.axes"},
    {"suite.check", "suite.cases"},
    {"suite"},
    {"journal"},
    {"resolve"},
    {"layers", "networks"},
    {"workload"},
    {"analysis"},
    {"planner", "meters", "runner.pace"},
    {"devices"},
    {"runner.bench", "runner.deadline", "runner.watched", "runner.budget"},
    {"runner.settling", "runner.window", "calibrate", "doctor"},
    {"runner"},
    {"session.study", "session.operators", "session.against_itself"},
    {"session.record", "session.resuming"},
    {"session.running", "session.first_use"},
    {"session", "report", "prediction"},
    {"progress", "measure_machine", "measurement"},
    {"pytest_plugin"},
    {"cli"},
    {"__main__"},
)
"""Lowest first; a module may import its own layer and everything below. A module that is not named has the place of the
package it is in."""

TORCH = {"layers", "networks", "workload", "devices", "resolve"}
"""`resolve` and `devices.open` import it inside functions only."""


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def home(path):
    """The dotted name of a module within the package; a package's own is the package's."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def top(path):
    return home(path).partition(".")[0]


def runtime_imports(path):
    """Absolute module names a file imports, those under TYPE_CHECKING left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rank(name):
    """The layer of a dotted name: its own, or that of the nearest package around it."""
    while name:
        if (found := next((i for i, layer in enumerate(LAYERS) if name in layer), None)) is not None:
            return found
        name = name.rpartition(".")[0]
    return None


def test_every_module_has_a_place():
    assert [home(p) for p in modules() if rank(home(p)) is None] == []


def test_every_place_has_a_module():
    found = {home(p) for p in modules()}
    assert set().union(*LAYERS) <= found | {name.rpartition(".")[0] for name in found}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path):
    here = home(path)
    for name in runtime_imports(path):
        package, _, there = name.partition(".")
        if package != "energybench" or not there:
            continue
        place = rank(there) if rank(there) is not None else rank("__init__")
        assert place <= rank(here), f"{here} imports {name} from above"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_torch_is_imported_only_where_work_is_built_and_run(path):
    if any(name.split(".")[0] == "torch" for name in runtime_imports(path)):
        assert top(path) in TORCH


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_is_a_drawer_for_odds_and_ends(path):
    assert not set(path.relative_to(PACKAGE).with_suffix("").parts) & {
        "utils",
        "helpers",
        "common",
        "misc",
        "core",
        "base",
    }


IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    for known in [m for m in sys.modules if m.partition(".")[0] == "energybench"]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError as error:
        sys.exit(f"{name}: {error}")
"""


def test_every_module_can_be_the_first_that_is_imported():
    """No two modules need each other to be there first, whichever door one comes in by."""
    names = [f"energybench.{home(p)}" for p in modules() if top(p) not in TORCH | {"__main__", "__init__"}]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *names], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


COMMANDS = (
    ["--help"],
    ["run", "--help"],
    ["compare", "--help"],
    ["predict", "--help"],
    ["fit", "--help"],
    ["--version"],
    ["list"],
    ["show", "gconv"],
    ["schema"],
    ["machines"],
    ["model", "group-size", "--channels", "128", "--size", "28", "--machine", "p100-pcie"],
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_that_interpret_load_no_torch(words):
    heavy = {"torch"} | ({"pandas", "scipy", "numpy", "matplotlib", "yaml", "pydantic"} if "--help" in words else set())
    code = (
        "import sys\n"
        "from energybench.cli import main\n"
        f"main({words!r}, standalone_mode=False)\n"
        f"loaded = {sorted(heavy)!r}\n"
        "found = [m for m in loaded if m in sys.modules]\n"
        "sys.exit(f'loaded: {found}' if found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
