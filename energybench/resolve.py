"""What does a layer's name in a suite stand for, and may it be built?

The rule: a suite file alone can never run code. A bare name is one of our layers or networks; ``torch.nn:X`` is one of
a shipped list of torch's; ``module:X`` is refused unless the person at the keyboard named that module or file with
``--plugin``. What is checked is the object a name leads to, not the text: it has to be an ``nn.Module`` class, or, from
a plugin, a function defined there that returns a module.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from energybench.catalogue import LAYERS, NETWORKS, TORCH_NN
from energybench.errors import SuiteError, one_line
from energybench.spelling import did_you_mean

if TYPE_CHECKING:
    from torch import nn

Factory = Callable[..., "nn.Module"]

_NEVER_PLUGINS = sys.stdlib_module_names | {"torch", "numpy", "energybench"}
"""Their functions do far more than make modules, and a function has run before its result can be checked."""

_ZOOS = {"timm": "timm.models"}
"""Packages whose networks are functions of a module within: ``timm:resnet50`` is ``timm.models.resnet50``."""

_LOADING = frozenset({
    "cache_dir", "checkpoint", "checkpoint_path", "file", "filename", "path", "pretrained", "pretrained_cfg",
    "pretrained_cfg_overlay", "state_dict", "url", "weights", "weights_path",
})  # fmt: skip
"""Arguments by which model zoos read files (pickles, some) or fetch them; trusting a zoo does not cover those."""

MOST_LAYERS = 500
"""Of a recurrent network: each is some dozen Python objects, whatever its size."""


@dataclass(frozen=True)
class Plugin:
    """Code the person running us allowed by name.

    Attributes:
        name: what a suite writes before the colon: the module's name, or the file's without ``.py``.
        file: the file that was given; None for an installed module.
        digest: SHA-256 over its Python sources.
    """

    name: str
    file: Path | None
    digest: str


def find_plugin(text: str) -> Plugin:
    """The plugin of one ``--plugin`` argument; its code is read but not run.

    Raises:
        SuiteError: there is no such file or module, or it may not be a plugin.
    """
    where = f"--plugin {text}"
    if text.endswith(".py") or "/" in text:
        path = Path(text)
        if path.suffix != ".py" or not path.is_file() or not path.stem.isidentifier():
            remedy = "a .py file whose name is a Python name, or an installed module"
            raise SuiteError("there is no such Python file", where=where, remedy=remedy)
        return Plugin(path.stem, path.resolve(), _digest(path.parent, [path]))
    if text.partition(".")[0] in _NEVER_PLUGINS:
        why = "a suite could then call any of its functions"
        raise SuiteError("this module cannot be a plugin", where=where, why=why, remedy="name a module of layers")
    if not text.isidentifier():
        raise SuiteError("a plugin is a .py file or the name of a top-level module", where=where)
    spec = importlib.util.find_spec(text)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        remedy = f"pip install {text}, or give the path of a .py file"
        raise SuiteError("no such module is installed", where=where, remedy=remedy)
    origin = Path(spec.origin)
    sources = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    return Plugin(text, None, _digest(origin.parent, sources))


def suite_identity(text: str, plugins: Sequence[str] = ()) -> str:
    """SHA-256 (hex) of a suite's text and of the source of the plugins it was run with."""
    found = _find_plugins(plugins)
    parts = [text, *(f"{name}:{found[name].digest}" for name in sorted(found))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def resolve_layer(name: str, plugins: Sequence[str] = ()) -> Factory:
    """What builds the layer or network that a suite calls ``name``.

    Args:
        name: ``GroupConv2d``, ``torch.nn:Conv2d``, or ``my_layers:MyConv`` of a plugin.
        plugins: the ``--plugin`` arguments.

    Returns:
        An ``nn.Module`` class, or a function that returns a module (checked when it is called).

    Raises:
        SuiteError: the name leads to nothing, or to something that may not be built.
    """
    module_name, colon, attribute = name.rpartition(":")
    if not colon:
        known = {**LAYERS, **NETWORKS}
        if name not in known:
            what = f"{name!r} is no layer or network of ours{did_you_mean(name, [*known, *TORCH_NN])}"
            raise SuiteError(what, remedy='energybench list; torch\'s are written "torch.nn:Conv2d"')
        return _module_class(importlib.import_module(known[name]), name)
    if module_name == "torch.nn":
        if attribute not in TORCH_NN:
            what = f"{name!r} is not on the list of torch.nn classes a suite may name"
            raise SuiteError(what + did_you_mean(attribute, TORCH_NN), remedy="or wrap it in a --plugin file")
        return _module_class(importlib.import_module("torch.nn"), attribute)
    return _from_plugin(module_name, attribute, plugins)


def check_arguments(factory: Factory, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first argument a factory cannot take, and what is wrong with it; None if all can be passed.

    An empty name is returned for what concerns no single argument.
    """
    for name, value in arguments.items():
        if problem := _argument_problem(name, value):
            return name, problem
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return None
    parameters = signature.parameters
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        known = [name for name in parameters if name not in {"device", "dtype"}]
        for name in arguments:
            if name not in known:
                return name, f"unknown argument{did_you_mean(name, known)} (it takes {', '.join(known)})"
    try:
        signature.bind(**arguments)
    except TypeError as error:
        return "", str(error)
    return None


def _argument_problem(name: str, value: Any) -> str:
    """Why a suite may not pass this argument to any layer, or nothing."""
    if name in {"device", "dtype"}:
        return f"{name} is not an argument of a layer here: it is chosen by the run and the axes"
    if name in _LOADING and value not in (None, False):
        return f"{name} would load a file or fetch weights, which a suite cannot ask for"
    if name == "num_layers" and isinstance(value, int) and value > MOST_LAYERS:
        return f"{value} layers are built one by one; {MOST_LAYERS} are the end"
    if isinstance(value, str) and re.match(r"(?i)(hf[-_]?hub|local-dir|hub|https?|file):", value):
        return f"{value[:60]!r} would be fetched from elsewhere, which a suite cannot ask for"
    if isinstance(value, dict):
        return next((found for key, item in value.items() if (found := _argument_problem(key, item))), "")
    if isinstance(value, list | tuple):
        return next((found for item in value if (found := _argument_problem("", item))), "")
    return ""


def _from_plugin(module_name: str, attribute: str, plugins: Sequence[str]) -> Factory:
    name = f"{module_name}:{attribute}"
    found = _find_plugins(plugins)
    if module_name not in found:
        why = "a suite file alone never runs code: the person who runs it names what may be run"
        remedy = f"if you trust it: --plugin {module_name} (or --plugin {module_name}.py)"
        raise SuiteError(f"{name!r} is outside energybench and torch.nn", why=why, remedy=remedy)
    module = _load(found[module_name])
    if module_name in _ZOOS and not hasattr(module, attribute):
        module = importlib.import_module(_ZOOS[module_name])
    if attribute.startswith("_") or not attribute.isidentifier():
        raise SuiteError(f"{name!r}: {attribute!r} is not a public name")
    found_object = getattr(module, attribute, None)
    if found_object is None:
        public = [key for key in vars(module) if not key.startswith("_")]
        raise SuiteError(f"{module_name} has no {attribute!r}{did_you_mean(attribute, public)}")
    if inspect.isclass(found_object):
        return _module_class(module, attribute)
    if inspect.isfunction(found_object) and _defined_in(found_object, module):
        return _returning_module(found_object, name)
    what = f"{name!r} is neither an nn.Module class nor a function defined in {module_name}"
    raise SuiteError(what, remedy="write a function there that returns the module")


def _find_plugins(plugins: Sequence[str]) -> dict[str, Plugin]:
    found: dict[str, Plugin] = {}
    for text in plugins:
        plugin = find_plugin(text)
        if found.setdefault(plugin.name, plugin).digest != plugin.digest:
            raise SuiteError(f"two different plugins are called {plugin.name!r}", where=f"--plugin {text}")
    return found


def _load(plugin: Plugin) -> ModuleType:
    try:
        return importlib.import_module(plugin.name) if plugin.file is None else _load_file(plugin, plugin.file)
    except Exception as error:
        raise SuiteError(f"fails when imported: {one_line(error)}", where=f"--plugin {plugin.name}") from error


def _load_file(plugin: Plugin, file: Path) -> ModuleType:
    alias = f"energybench_plugin_{plugin.name}_{plugin.digest[:12]}"  # never shadows a module of that name
    if alias in sys.modules:
        return sys.modules[alias]
    spec = importlib.util.spec_from_file_location(alias, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise
    return module


def _module_class(module: ModuleType, name: str) -> type[nn.Module]:
    from torch import nn

    found = getattr(module, name, None)
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise SuiteError(f"{name!r} of {module.__name__} is not an nn.Module class")
    return found


def _defined_in(function: Callable[..., Any], module: ModuleType) -> bool:
    return function.__module__ == module.__name__ or function.__module__.startswith(f"{module.__name__}.")


def _returning_module(function: Callable[..., Any], name: str) -> Factory:
    from functools import wraps

    from torch import nn

    @wraps(function)
    def factory(*args: Any, **kwargs: Any) -> nn.Module:
        built = function(*args, **kwargs)
        if not isinstance(built, nn.Module):
            raise SuiteError(f"{name!r} returned a {type(built).__name__}, not an nn.Module")
        return built

    return factory


def _digest(folder: Path, files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
