"""What is to be measured? Suites by name or path, and the cases they come to. The front door of the suite modules.

``document`` reads the text, ``model`` says what its keys are, ``axes`` and ``check`` whether it makes sense, ``cases``
which cases it comes to.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from energybench.errors import SuiteError
from energybench.spelling import did_you_mean
from energybench.suite.cases import Case, Skipped, TensorSpec, expand, parse_setting
from energybench.suite.check import check, explained
from energybench.suite.document import Document, parse_document, read_document
from energybench.suite.model import OPTIONS, Accuracy, Method, Suite, Variant, parse_duration_s, parse_precision

__all__ = [
    "OPTIONS",
    "Accuracy",
    "Case",
    "Method",
    "Skipped",
    "Suite",
    "TensorSpec",
    "Variant",
    "expand",
    "list_suites",
    "load_suite",
    "parse_duration_s",
    "parse_precision",
    "parse_setting",
    "parse_suite",
    "suite_schema",
]


def load_suite(name_or_path: str | Path) -> Suite:
    """Load a shipped suite by name, or any suite by path.

    Raises:
        SuiteError: there is none, or it is wrong; the message names file, line, field and value.
    """
    text = str(name_or_path)
    path = Path(name_or_path)
    shipped = {file.stem: file for file in _shipped()}
    if text in shipped:
        return _suite(read_document(shipped[text], f"suites/{text}.yaml"))
    if path.exists() or path.name != text:
        close = did_you_mean(path.stem, shipped)
        hint = f"energybench run {path.stem}" if path.stem in shipped else f"energybench list{close}"
        return _suite(read_document(path, _shown(path), remedy=hint))
    if path.suffix in (".yaml", ".yml"):
        raise SuiteError(f"there is no file {text!r}{did_you_mean(path.stem, shipped)}", remedy="energybench list")
    what = f"no shipped suite is called {text!r}{did_you_mean(path.stem, shipped)}"
    raise SuiteError(what, remedy="energybench list, or give the path of a .yaml file")


def parse_suite(text: str, source: str = "suite.yaml") -> Suite:
    """The suite of a YAML text, to be called ``source`` in messages.

    Raises:
        SuiteError: it is wrong; the message names line, field and value.
    """
    return _suite(parse_document(text, source))


def list_suites() -> list[Suite]:
    """The shipped suites, by name."""
    return [load_suite(file.stem) for file in _shipped()]


def suite_schema() -> dict[str, Any]:
    """The JSON Schema of a suite file, for editors."""
    return Suite.model_json_schema()


def _suite(document: Document) -> Suite:
    try:
        suite = Suite.of(document)
    except ValidationError as error:
        raise explained(error, document) from None
    check(suite)
    return suite


def _shipped() -> list[Path]:
    package = Path(str(resources.files("energybench")))
    packaged = package / "suites"
    return sorted((packaged if packaged.is_dir() else package.parent / "suites").glob("*.yaml"))


def _shown(path: Path) -> str:
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return str(path)
