"""A suite file alone can never run code; what may be built is checked on the object a name leads to."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from torch import nn

import energybench
from energybench.catalogue import LAYERS, NETWORKS, TORCH_NN
from energybench.errors import SuiteError
from energybench.layers.group_conv import GroupConv2d
from energybench.resolve import check_arguments, find_plugin, resolve_layer, suite_identity

PLUGIN = """
import os
from os import system
from torch import nn
from torch.nn import Conv2d
from pathlib import Path

here = Path(__file__)
loaded = (here.parent / "loaded").write_text("yes")

class Mine(nn.Module):
    def __init__(self, width): super().__init__()

class Other: pass

def make(width): return Mine(width)
def make_nothing(width): return width
def _private(width): return Mine(width)
instance = Mine(3)
"""


@pytest.fixture
def plugin(tmp_path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.parametrize("name", [*LAYERS, *NETWORKS])
def test_every_name_of_the_catalogue_leads_to_a_module_class(name):
    assert issubclass(resolve_layer(name), nn.Module)


@pytest.mark.parametrize("name", sorted(TORCH_NN))
def test_every_listed_torch_name_leads_to_torchs_class(name):
    assert resolve_layer(f"torch.nn:{name}") is getattr(nn, name)


@pytest.mark.parametrize(("folder", "catalogue", "suffix"), [("layers", LAYERS, "2d"), ("networks", NETWORKS, "")])
def test_no_layer_or_network_is_missing_from_the_catalogue(folder, catalogue, suffix):
    """A layer class ends in PyTorch's suffix; the last class a network's file is named after is the network."""
    for file in (Path(energybench.__file__).parent / folder).glob("*.py"):
        classes = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
        if suffix:
            assert {name for name in classes if name.endswith(suffix)} <= set(catalogue)
        elif classes:
            assert set(classes) & set(catalogue)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "builtins:eval",
        "torch:load",
        "torch.nn.modules:Conv2d",
        "torch.hub:load",
        "timm:create_model",
        "./mine.py:Mine",
        "energybench.resolve:resolve_layer",
    ],
)
def test_what_nobody_allowed_is_refused_with_the_way_to_allow_it(name):
    with pytest.raises(SuiteError, match="--plugin"):
        resolve_layer(name)


@pytest.mark.parametrize("name", ["torch.nn:Module", "torch.nn:Sequential", "torch.nn:__dict__", "torch.nn:utils"])
def test_torch_names_off_the_list_are_refused(name):
    with pytest.raises(SuiteError, match="not on the list"):
        resolve_layer(name)


def test_a_misspelt_name_is_corrected():
    with pytest.raises(SuiteError, match="did you mean 'GroupConv2d'"):
        resolve_layer("GroupConv")
    with pytest.raises(SuiteError, match="did you mean 'Conv2d'"):
        resolve_layer("torch.nn:conv2d")


def test_an_unnamed_plugin_is_not_even_loaded(plugin):
    with pytest.raises(SuiteError):
        resolve_layer("mine:Mine")
    find_plugin(str(plugin))
    assert not (plugin.parent / "loaded").exists()


def test_a_named_plugin_gives_its_classes_and_functions_that_make_modules(plugin):
    assert isinstance(resolve_layer("mine:Mine", [str(plugin)])(width=3), nn.Module)
    factory = resolve_layer("mine:make", [str(plugin)])
    assert isinstance(factory(width=3), nn.Module)
    assert list(inspect.signature(factory).parameters) == ["width"]
    assert resolve_layer("mine:Conv2d", [str(plugin)]) is nn.Conv2d


@pytest.mark.parametrize("name", ["system", "os", "Other", "Path", "instance", "_private", "here", "os.system"])
def test_a_plugin_gives_nothing_else(plugin, name):
    with pytest.raises(SuiteError):
        resolve_layer(f"mine:{name}", [str(plugin)])


def test_a_function_that_returns_no_module_is_refused_when_called(plugin):
    with pytest.raises(SuiteError, match="returned a int"):
        resolve_layer("mine:make_nothing", [str(plugin)])(width=3)


def test_a_plugin_that_fails_to_import_is_named(tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module_at_all")
    with pytest.raises(SuiteError, match="--plugin broken: fails when imported: ModuleNotFoundError"):
        resolve_layer("broken:X", [str(tmp_path / "broken.py")])


@pytest.mark.parametrize("text", ["os", "torch", "torch.hub", "subprocess", "no_such_module", "none.py", "a b"])
def test_what_cannot_be_a_plugin_is_refused(text):
    with pytest.raises(SuiteError, match=f"--plugin {text}"):
        find_plugin(text)


def test_identity_follows_the_text_and_the_plugins_source(plugin):
    before = suite_identity("a: 1", [str(plugin)])
    assert before == suite_identity("a: 1", [str(plugin)])
    assert len({before, suite_identity("a: 1"), suite_identity("a: 2", [str(plugin)])}) == 3
    plugin.write_text(PLUGIN + "\n")
    assert suite_identity("a: 1", [str(plugin)]) != before


@pytest.mark.parametrize(
    ("arguments", "name", "words"),
    [
        ({"channels": 8, "groop_size": 2}, "groop_size", "did you mean 'group_size'"),
        ({"channels": 8, "device": "cuda"}, "device", "chosen by the run"),
        ({"channels": 8, "dtype": "float16"}, "dtype", "chosen by the run"),
        ({"channels": "hf-hub:someone/something"}, "channels", "fetched from elsewhere"),
    ],
)
def test_an_argument_that_cannot_be_passed_is_named(arguments, name, words):
    problem = check_arguments(GroupConv2d, arguments)
    assert problem is not None
    assert problem[0] == name
    assert words in problem[1]


def test_a_missing_argument_is_told_and_good_ones_pass():
    assert check_arguments(nn.Conv2d, {"in_channels": 3}) == ("", "missing a required argument: 'out_channels'")
    assert check_arguments(GroupConv2d, {"channels": 8, "group_size": 2}) is None
