"""Does a suite make sense? What its types cannot say, and every complaint in words with a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from energybench.errors import SuiteError
from energybench.spelling import did_you_mean
from energybench.suite.axes import check_axes, fields_of, narrow
from energybench.suite.document import Document, Keys, listed
from energybench.suite.model import Accuracy, Method, Scalar, Suite, TensorInput, Variant

MOST_COUNTED = 1_000
"""Complaints looked at to say how much more there is to mend."""

MAX_ARGS = 64
"""Values in the arguments of a variant: each case has its own."""


def explained(error: ValidationError, document: Document) -> SuiteError:
    """The first complaint of a validation, with its place in the file and the words a user knows."""
    details = error.errors(include_url=False)
    first = details[0]
    keys = _place(first, document)
    same = [detail for detail in details if _place(detail, document) == keys]
    others = len({_place(detail, document) for detail in details[:MOST_COUNTED]}) - 1
    more = "or more " if len(details) > MOST_COUNTED else ""
    remedy = f"{others} {more}others to mend in this file" if others else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(keys)
        return document.error(keys, f"unknown key{did_you_mean(keys[-1], known)}", remedy=f"known: {', '.join(known)}")
    if first["type"] == "missing":
        return document.error(keys[:-1], f"{keys[-1]!r} is missing", remedy=remedy)
    if first["type"] == "string_pattern_mismatch" and keys == ("name",):
        what = f"{first['input']!r} cannot name a folder: letters, digits, '-' and '_', at most 64"
        return document.error(keys, what, remedy=remedy)
    wanted = " or ".join(dict.fromkeys(_wanted(detail) for detail in same))
    return document.error(keys, f"{wanted}, not {_shown(first['input'])}", remedy=remedy)


def check(suite: Suite) -> None:
    """Check that names refer to something and values can mean something.

    Raises:
        SuiteError: at the first that does not.
    """
    if (suite.input is None) == (suite.inputs is None):
        raise suite.error((), "a suite has either `input` or `inputs`", why="it is what every variant is given")
    check_axes(suite)
    _check_variants(suite)
    _check_references(suite)
    _check_skip(suite)
    narrow(suite.entries, suite.quick, lambda key, what: suite.error(("quick", key), what))


def _check_variants(suite: Suite) -> None:
    known = suite.variants
    if suite.baseline not in known:
        what = f"the baseline {_shown(suite.baseline)} is no variant{did_you_mean(suite.baseline, known)}"
        raise suite.error(("baseline",), what, remedy=f"variants: {listed(known)}")
    fields = fields_of(suite.entries)
    for name, variant in known.items():
        keys: Keys = ("variants", name)
        if not re.fullmatch(r"[^|\s]([^|]{0,58}[^|\s])?", name) or not name.isprintable():
            raise suite.error(keys, "a variant's name has 1 to 60 printable characters and no '|'")
        if variant.pair == name:
            raise suite.error((*keys, "pair"), "a variant cannot be its own pair")
        if variant.pair is not None and variant.pair not in known:
            raise suite.error(
                (*keys, "pair"), f"{_shown(variant.pair)} is no variant{did_you_mean(variant.pair, known)}"
            )
        if sum(1 for _ in _values(variant.args)) > MAX_ARGS:
            raise suite.error((*keys, "args"), f"more than {MAX_ARGS} values", why="every case carries them")
        for option in ("layout", "mode", "cache"):
            if option in fields and getattr(variant, option) is not None:
                what = f"{option} is an axis of this suite, so a variant cannot set it too"
                raise suite.error((*keys, option), what)


def _check_references(suite: Suite) -> None:
    fields = [field for field in fields_of(suite.entries) if field != "repeat"]  # a weight, not a property
    for keys, text in _texts(suite):
        if text.startswith("$") and text[1:] in fields:
            continue
        if re.fullmatch(r"\$\w+", text):
            what = f"{text} refers to no field{did_you_mean(text[1:], fields)}"
            raise suite.error(keys, what, remedy=f"fields of the axes: {listed(fields) or 'none'}")
        if "$" in text:
            remedy = "add the value you want as a field of the axis and refer to that"
            raise suite.error(keys, f"{text!r}: a reference like $name stands for a whole value", remedy=remedy)
    in_shape = {extent for _, tensor in suite.tensors for extent in tensor.shape}
    if "batch" in fields and "$batch" not in in_shape:
        why = "joules per inference are divided by the batch"
        raise suite.error(("axes",), "there is an axis batch, but no input has $batch in its shape", why=why)


def _texts(suite: Suite) -> Iterator[tuple[Keys, str]]:
    for keys, tensor in suite.tensors:
        yield from _strings(tensor.shape, keys)
        yield from _strings(tensor.integers, (*keys, "integers"))
    for name, variant in suite.variants.items():
        yield from _strings(variant.layer, ("variants", name, "layer"))
        yield from _strings(variant.args, ("variants", name, "args"))


def _strings(value: Any, keys: Keys) -> Iterator[tuple[Keys, str]]:
    return ((place, item) for place, item in _values(value, keys) if isinstance(item, str))


def _values(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _values(item, (*keys, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _values(item, (*keys, index))
    else:
        yield keys, value


def _check_skip(suite: Suite) -> None:
    known: dict[str, list[Scalar]] = {field: [] for field in fields_of(suite.entries)}
    for entries in suite.entries.values():
        for entry in entries:
            for field, value in entry.items():
                known[field].append(value)
    for field, values in suite.quick.items():
        known.setdefault(field, []).extend(values)
    known["variant"] = list(suite.variants)
    for index, skip in enumerate(suite.skip):
        matches: dict[str, Scalar] = dict(skip.fields)
        if skip.variant is not None:
            matches["variant"] = skip.variant
        if not matches:
            raise suite.error(("skip", index), "this would skip every case", remedy="name a variant or a field")
        for field, value in matches.items():
            if field not in known:
                what = f"{field!r} is no field of this suite{did_you_mean(field, known)}"
                raise suite.error(("skip", index, field), what, remedy=f"fields: {listed(known)}")
            if value not in known[field]:
                what = f"no case has {field}={str(value)[:60]}{did_you_mean(value, known[field])}"
                raise suite.error(("skip", index, field), what)


def _place(detail: ErrorDetails, document: Document) -> Keys:
    """The keys of a complaint in the file: pydantic's location without the names of union members."""
    value: Any = document.data
    keys: list[str | int] = []
    last = len(detail["loc"]) - 1
    for index, part in enumerate(detail["loc"]):
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            value = value[part]  # type: ignore[index]
            keys.append(part)
        elif index == last and detail["type"] == "missing":
            keys.append(part)
    return tuple(keys)


def _known_keys(keys: Keys) -> list[str]:
    model: type[BaseModel] = Suite
    match keys:
        case ("variants", _, "accuracy", _):
            return list(Accuracy.__dataclass_fields__)
        case ("variants", _, _):
            model = Variant
        case ("method", _):
            model = Method
        case ("input" | "inputs", *_):
            model = TensorInput
    return list(model.model_fields)


def _wanted(detail: ErrorDetails) -> str:
    kinds = {
        "bool_type": "must be true or false",
        "int_type": "must be a whole number",
        "float_type": "must be a number",
        "string_type": "must be text",
        "dict_type": "must be a mapping",
        "list_type": "must be a list",
        "model_type": "must be a mapping",
        "model_attributes_type": "must be a mapping",
        "dataclass_type": "must be a mapping",
        "string_pattern_mismatch": "must be a $reference",
        "greater_than": "must be a positive whole number",
    }
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] == "literal_error":
        return f"must be {detail['ctx']['expected']}"
    return kinds.get(detail["type"], detail["msg"][:1].lower() + detail["msg"][1:])


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
