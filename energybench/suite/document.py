"""What does a suite file say, and on which line? YAML read safely, within hard limits.

The text may come from anyone. So: only plain mappings, lists and scalars; no tags, no merge keys; limits on size, on
nesting, on single words and numbers, and on what aliases expand to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from energybench.errors import SuiteError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000
MAX_KEY = 100
MAX_TEXT = 2_000
MAX_INTEGER = 2**63 - 1
NAMES_LISTED = 24

_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")}

Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A suite file as plain data that still knows its lines.

    Attributes:
        text: the file's text, as it goes into the run.
        source: its name for messages.
        data: the top-level mapping.
        lines: line (from 1) of every key and list item, by its keys from the top.
    """

    text: str
    source: str
    data: Mapping[str, Any]
    lines: Mapping[Keys, int] = field(repr=False)

    def where(self, *keys: str | int) -> str:
        """``suites/x.yaml:12: variants.E2GC.args``: the place, with the line of the nearest enclosing key."""
        known = keys
        while known and known not in self.lines:
            known = known[:-1]
        dotted = "".join(f"[{key}]" if isinstance(key, int) else f".{_inert(key)}" for key in keys).lstrip(".")
        place = f"{self.source}:{self.lines.get(known, 1)}"
        return f"{place}: {dotted}" if dotted else place

    def error(self, keys: Keys, what: str, *, why: str = "", remedy: str = "") -> SuiteError:
        """An error that says where in this file."""
        return SuiteError(_inert(what), where=self.where(*keys), why=why, remedy=_inert(remedy))


def listed(known: Iterable[object]) -> str:
    """Names for a message: all of them while they are few, else the first ones and how many more there are."""
    names = [str(name) for name in known]
    more = f" and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
    return ", ".join(names[:NAMES_LISTED]) + more


def read_document(path: Path, source: str, *, remedy: str = "energybench list") -> Document:
    """Read the suite file ``path``, to be called ``source`` in messages.

    Raises:
        SuiteError: it is missing, a directory, too large, not text, not YAML, not a mapping, or has duplicate keys.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SuiteError("there is no such suite file", where=source, remedy=remedy) from None
    except IsADirectoryError:
        remedy = "name a .yaml file in it, or see: energybench list"
        raise SuiteError("this is a directory, not a suite file", where=source, remedy=remedy) from None
    except OSError as error:
        raise SuiteError(f"the suite file cannot be read ({error.strerror})", where=source) from None
    if len(raw) > MAX_BYTES:
        raise SuiteError(f"the suite file is larger than {MAX_BYTES // 1024} KiB", where=source)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SuiteError("the suite file is not UTF-8 text", where=f"{source}:{line}") from None
    return parse_document(text, source)


def parse_document(text: str, source: str) -> Document:
    """Parse a suite's text, to be called ``source`` in messages.

    Raises:
        SuiteError: it is not YAML, breaks a limit, is not a mapping, or has duplicate keys.
    """
    if "\x00" in text:
        where = f"{source}:{_line_at(text, text.index(chr(0)))}"
        raise SuiteError("the suite file is not text (it holds NUL bytes)", where=where)
    loader = _BoundedLoader(text, source)
    try:
        root = loader.get_single_node()
        lines: dict[Keys, int] = {}
        data = _Builder(loader, source, lines).build(root, ()) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        what = error.problem or error.context or "unknown"
        if "<block end>" in what:
            what = f"this line is indented unlike those it belongs with ({what})"
        raise SuiteError(f"not valid YAML: {what}", where=where) from None
    except yaml.YAMLError as error:
        raise SuiteError(f"not valid YAML: {str(error).splitlines()[0]}", where=source) from None
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        found = "empty" if data is None else f"a {type(data).__name__}"
        remedy = "begin with name, about, baseline, variants, input and axes; energybench schema lists every key"
        raise SuiteError(
            f"a suite is a mapping (name, variants, ...); this file is {found}", where=source, remedy=remedy
        )
    return Document(text, source, data, lines)


class _BoundedLoader(yaml.SafeLoader):
    """Composes nodes, and refuses to go deeper or further than any honest suite does."""

    def __init__(self, text: str, source: str) -> None:
        try:
            super().__init__(text)
        except yaml.reader.ReaderError as error:
            where = f"{source}:{_line_at(text, error.position)}"
            raise SuiteError(f"not text: {error.reason}", where=where) from None
        self._source = source
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH or self._nodes > 2 * MAX_NODES:
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            deep = f"nested deeper than {MAX_DEPTH} levels" if self._depth > MAX_DEPTH else ""
            raise SuiteError(deep or f"more than {MAX_NODES} values", where=f"{self._source}:{line}")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Builder:
    """Turns nodes into plain data; counts what aliases expand to; notes every line."""

    def __init__(self, loader: yaml.SafeLoader, source: str, lines: dict[Keys, int]) -> None:
        self._loader = loader
        self._source = source
        self._lines = lines
        self._nodes = 0

    def build(self, node: yaml.Node, keys: Keys) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(keys) > MAX_DEPTH:
            what = f"more than {MAX_NODES} values, or deeper than {MAX_DEPTH} levels, once its aliases are expanded"
            raise self._error(node, what)
        if node.tag not in _PLAIN_TAGS:
            value = "a collection" if isinstance(node, yaml.CollectionNode) else repr(node.value)
            what = f"a value must be text, a number, true/false, a list or a mapping, not {value} tagged {node.tag}"
            raise self._error(node, what, remedy="quote it if it is text")
        self._lines.setdefault(keys, _line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*keys, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag != "tag:yaml.org,2002:str":
                remedy = "merge keys are not part of a suite; write it out" if key_node.value == "<<" else "quote it"
                raise self._error(key_node, f"a key must be text, not {key_node.value!r}", remedy=remedy)
            key = str(key_node.value)
            if len(key) > MAX_KEY or not _encodable(key):
                raise self._error(key_node, f"a key has at most {MAX_KEY} characters of text, not {key[:40]!r}...")
            if key in first:
                raise self._error(key_node, f"{key!r} is given twice (first on line {first[key]})")
            first[key] = _line(key_node)
            self._lines[(*keys, key)] = first[key]
            data[key] = self.build(value_node, (*keys, key))
        return data

    def _scalar(self, node: yaml.Node) -> str | int | float | bool | None:
        try:
            value: str | int | float | bool | None = self._loader.construct_object(node)
        except (ValueError, OverflowError):
            raise self._error(node, f"{str(node.value)[:40]!r} is not a number that can be read") from None
        if isinstance(value, str) and (len(value) > MAX_TEXT or not _encodable(value)):
            raise self._error(node, f"text has at most {MAX_TEXT} characters and no half ones, not {value[:40]!r}...")
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise self._error(node, f"{str(node.value)[:40]!r} is too large a number: 2^63 is the end")
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(node, f"{str(node.value)[:40]!r} is not a finite number")
        return value

    def _error(self, node: yaml.Node, what: str, *, remedy: str = "") -> SuiteError:
        return SuiteError(what, where=f"{self._source}:{_line(node)}", remedy=remedy)


def _encodable(text: str) -> bool:
    """Whether text can be written to a file: an escape in YAML may stand for half a character."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _inert(text: str) -> str:
    """Text for a message: characters that would act on a terminal are shown as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
