"""Which points do the axes of a suite span, and which remain when some values are asked for?"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from energybench.columns import RESULTS, names
from energybench.errors import SuiteError
from energybench.spelling import did_you_mean
from energybench.suite.document import Keys, listed
from energybench.suite.model import OPTIONS, Scalar, Suite

Entry = Mapping[str, Scalar]
Axes = Mapping[str, Sequence[Entry]]

_TAKEN = frozenset(names(RESULTS)) - {"batch", "dtype", "repeat"}
MAX_FIELDS = 32
MAX_SKIP_KINDS = 32
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,31}")


def fields_of(axes: Axes) -> list[str]:
    """Every field of every axis, in order, once each."""
    return list(dict.fromkeys(field for entries in axes.values() for entry in entries for field in entry))


def check_axes(suite: Suite) -> None:
    """Check names, values and uniqueness of every axis.

    Raises:
        SuiteError: at the first that is wrong.
    """
    if len(fields_of(suite.entries)) > MAX_FIELDS:
        raise suite.error(("axes",), f"more than {MAX_FIELDS} fields", why="each is a column of every table")
    owner: dict[str, str] = {}
    for axis, entries in suite.entries.items():
        _check_entries(suite, axis, entries)
        for field in fields_of({axis: entries}):
            if field in owner:
                what = f"the field {field!r} is already one of axis {owner[field]!r}"
                raise suite.error(("axes", axis), what, why="one field cannot have two values at a point")
            owner[field] = axis


def narrow(
    axes: Axes, asked: Mapping[str, Sequence[Scalar]], error: Callable[[str, str], SuiteError]
) -> dict[str, Sequence[Entry]]:
    """The axes that ``asked`` touches, narrowed to what it asks for, by axis name.

    An axis of a single field takes exactly the values asked for, whether or not the suite has them. An axis whose
    fields move together keeps the entries whose field is among the values. A reserved option that is no axis
    (``dtype``, ``layout``, ``mode``, ``cache``) becomes one.

    Args:
        axes: the entries of every axis.
        asked: axis or field name to wanted values.
        error: makes the error for a key and a message.

    Raises:
        SuiteError: a name or value that is not there, or nothing that remains.
    """
    narrowed: dict[str, Sequence[Entry]] = {}
    for key, values in asked.items():
        axis = next((name for name, entries in axes.items() if key in entries[0] and key != "repeat"), None)
        if axis is None and key in OPTIONS:
            narrowed[key] = _as_values(key, values, error)
            continue
        if axis is None:
            raise error(key, _not_a_field(key, axes))
        if list(axes[axis][0]) == [key]:
            narrowed[axis] = _as_values(key, values, error)
        else:
            narrowed[axis] = _keep(key, values, narrowed.get(axis, axes[axis]), axes[axis], error)
    return narrowed


def check_sides(suite: Suite, axes: Axes) -> None:
    """Check that every value which a side of an input stands for can be one, before any case is made.

    Raises:
        SuiteError: at the first that cannot.
    """
    values: dict[str, list[Scalar]] = {}
    for entries in axes.values():
        for entry in entries:
            for name, value in entry.items():
                values.setdefault(name, []).append(value)
    for keys, tensor in suite.tensors:
        sides = [((*keys, position), side) for position, side in enumerate(tensor.shape)]
        if tensor.integers is not None:
            sides.append(((*keys, "integers"), tensor.integers))
        for place, side in sides:
            for value in values[side[1:]] if isinstance(side, str) else [side]:
                if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
                    what = f"{side} stands for {value!r}; a side of a tensor is a positive whole number"
                    raise suite.error(place, what)


class Skips:
    """The skips of a suite, found by the values of the fields they name."""

    def __init__(self, suite: Suite) -> None:
        self._by_names: dict[tuple[str, ...], dict[tuple[Scalar, ...], tuple[int, str]]] = {}
        for number, skip in enumerate(suite.skip):
            wanted = dict(skip.fields) | ({"variant": skip.variant} if skip.variant is not None else {})
            names = tuple(sorted(wanted))
            known = self._by_names.setdefault(names, {})
            known.setdefault(tuple(wanted[name] for name in names), (number, skip.because))
            if len(self._by_names) > MAX_SKIP_KINDS:
                what = f"skips that name their fields in more than {MAX_SKIP_KINDS} combinations"
                raise suite.error(("skip", number), what, remedy="name the same fields in each")

    def because(self, values: Entry) -> str | None:
        """Why a case of these fields and ``variant`` is skipped, as the first skip that matches says; else None."""
        found = [
            hit
            for names, known in self._by_names.items()
            if all(name in values for name in names)
            and (hit := known.get(tuple(values[name] for name in names))) is not None
        ]
        return min(found)[1] if found else None


def value_problem(field: str, value: Scalar) -> str:
    """What is wrong with ``value`` as a value of ``field``, or nothing."""
    if field in OPTIONS and value not in OPTIONS[field]:
        close = did_you_mean(value, OPTIONS[field])
        return f"{str(value)[:40]!r} is not a {field} (one of {', '.join(OPTIONS[field])}){close}"
    if field in {"batch", "repeat"} and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        return f"a {field} is a whole number from 1, not {value!r}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if isinstance(value, str) and not re.fullmatch(r"[^|\s$][^|]{0,99}", value):
        why = "text of an axis has 1 to 99 characters and no '|' or '$'"
        return f"{value[:40]!r} cannot be told apart in a case id: {why}"
    if isinstance(value, str) and not value.isprintable():
        return f"{value!r} has characters that cannot be printed"
    return ""


def _check_entries(suite: Suite, axis: str, entries: Sequence[Entry]) -> None:
    given = suite.axes[axis]
    fields = {field for field in entries[0] if field != "repeat"}
    seen: set[tuple[object, ...]] = set()
    if not fields:
        raise suite.error(("axes", axis), "an entry needs a field other than repeat")
    for index, entry in enumerate(entries):
        keys: Keys = ("axes", axis, index)
        if isinstance(given[index], dict) != isinstance(given[0], dict):
            raise suite.error(keys, "an axis is a list of values, or a list of mappings, not both")
        for field, value in entry.items():
            place = (*keys, field) if isinstance(given[index], dict) else keys
            if problem := _field_problem(field, axis) or value_problem(field, value):
                raise suite.error(place, problem)
        if {field for field in entry if field != "repeat"} != fields:
            what = f"has the fields {listed(entry)}; the first entry of this axis has {listed(entries[0])}"
            raise suite.error(keys, what, why="fields of one axis move together: each entry needs all of them")
        point = tuple((field, type(entry[field]), entry[field]) for field in sorted(fields))
        if point in seen:
            raise suite.error(keys, "this entry is there twice", remedy="give it once, with `repeat` as its weight")
        seen.add(point)


def _field_problem(field: str, axis: str) -> str:
    if not _FIELD.fullmatch(field):
        return f"a field is named in lower case (a-z, 0-9, _), not {field!r}"
    if field in _TAKEN:
        return f"{field!r} is already a column of results.csv; name the field otherwise"
    if field == axis == "repeat":
        return "repeat weights the entries of an axis of mappings; it is no axis of its own"
    return ""


def _as_values(key: str, values: Sequence[Scalar], error: Callable[[str, str], SuiteError]) -> list[Entry]:
    for value in values:
        if problem := value_problem(key, value):
            raise error(key, problem)
    if not values:
        raise error(key, "needs at least one value")
    return [{key: value} for value in dict.fromkeys(values)]


def _keep(
    key: str,
    values: Sequence[Scalar],
    entries: Sequence[Entry],
    all_entries: Sequence[Entry],
    error: Callable[[str, str], SuiteError],
) -> list[Entry]:
    known = [entry[key] for entry in all_entries]
    for value in values:
        if value not in known:
            shown = listed(dict.fromkeys(known))
            raise error(key, f"no entry has {key}={str(value)[:60]} (there are {shown}){did_you_mean(value, known)}")
    kept = [entry for entry in entries if entry[key] in values]
    if not kept:
        raise error(key, "together with the other values asked for, no entry of this axis remains")
    return kept


def _not_a_field(key: str, axes: Axes) -> str:
    if key in axes:
        return f"{key!r} has several fields that move together; name one of them: {listed(axes[key][0])}"
    if key == "repeat":
        return "'repeat' says how often a stage counts in totals; it cannot be chosen by"
    known = [*fields_of(axes), *(option for option in OPTIONS if option not in axes)]
    return f"{key!r} is no field of this suite (there are {listed(known)}){did_you_mean(key, known)}"
