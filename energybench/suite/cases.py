"""Which cases does a suite come to? Variants times points, references substituted, skips with their reasons."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import prod
from typing import Any, Self

import yaml

from energybench.catalogue import is_network
from energybench.errors import SuiteError
from energybench.spelling import did_you_mean
from energybench.suite.axes import Axes, Skips, check_sides, narrow
from energybench.suite.document import Keys, listed
from energybench.suite.model import OPTIONS, Accuracy, Scalar, Suite, TensorInput, Variant

MAX_CASES = 100_000
MAX_ID = 450
"""Characters of a point in words: it is part of every case's id."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input tensor: its shape, and for token ids the number they stay below."""

    shape: tuple[int, ...]
    integers: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One variant at one point of the axes.

    Attributes:
        id: readable, stable, unique in the suite: ``FgGC g=32 | channels=128 size=56 batch=1 dtype=float16``.
        suite: the suite's name.
        variant: one way to do the job.
        layer: what is built, as the suite names it.
        args: its arguments, references substituted.
        inputs: what it is given.
        point: every field of every axis at this case (``repeat`` apart).
        comparison: the point in words; the same for all variants there.
        batch: inferences of one iteration.
        dtype: number format (``float32`` is strict, ``tf32`` its own value).
        layout: ``contiguous`` or ``channels_last``.
        mode: ``inference`` or ``training``.
        cache: ``rotated`` (through buffers larger than twice L2) or ``hot``.
        repeat: weight of this case in totals.
        baseline: the variant others are judged against.
        pair: the variant it is matched with in MACs.
        compile: whether torch.compile is used.
        equivalent: outputs must agree with the baseline's, given the same weights.
        accuracy: top-1 accuracy, where the suite says it.
        source: the suite file, for messages.
        lines: line of the variant (key ``""``) and of its arguments in that file.
    """

    id: str
    suite: str
    variant: str
    layer: str
    args: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]
    point: Mapping[str, Scalar]
    comparison: str
    batch: int
    dtype: str
    layout: str
    mode: str
    cache: str
    repeat: int
    baseline: str
    pair: str | None = None
    compile: bool = False
    equivalent: bool = False
    accuracy: Accuracy | None = None
    source: str = field(default="", compare=False, repr=False)
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)

    def error(self, what: str, *, argument: str = "", why: str = "", remedy: str = "") -> SuiteError:
        """An error that names file, line, field and case."""
        line = self.lines.get(argument, self.lines.get("", 1))
        place = f"variants.{self.variant}" + (f".args.{argument}" if argument else "")
        where = f"{self.source}:{line}: {place} (case {self.id!r})"
        return SuiteError(what, where=where, why=why, remedy=remedy)


@dataclass(frozen=True)
class Skipped:
    """A case that is left out, and why."""

    case_id: str
    because: str


def parse_setting(text: str) -> tuple[str, list[Scalar]]:
    """Axis and values of ``AXIS=V,V`` as given on the command line; values are read as YAML would.

    Raises:
        SuiteError: it is not of that form.
    """
    axis, equals, values = text.partition("=")
    try:
        parsed = [yaml.safe_load(value) for value in values.split(",")]
    except yaml.YAMLError:
        parsed = [None]
    if not equals or not axis.strip() or not all(isinstance(value, str | int | float) for value in parsed):
        raise SuiteError(f"{text!r} is not AXIS=VALUE,VALUE", where="--set", remedy="--set batch=1,8")
    return axis.strip(), parsed


def expand(
    suite: Suite,
    *,
    quick: bool = False,
    only: Sequence[str] = (),
    settings: Mapping[str, Sequence[Scalar]] | None = None,
    max_cases: int = MAX_CASES,
) -> tuple[list[Case], list[Skipped]]:
    """The cases of a suite, variants of one comparison together, and what it skips.

    Args:
        suite: what is to be measured.
        quick: keep only what the suite's ``quick`` lists; axes it does not touch keep their first value.
        only: globs on variant names or case ids, case ignored; the baseline is kept beside what matches.
        settings: axis or field to values, from ``--set``; they win over ``quick``.
        max_cases: refuse before making more.

    Raises:
        SuiteError: too many cases, a setting or glob that matches nothing, or a value that cannot be an input.
    """
    axes = _chosen(suite, quick, settings or {})
    _check_sizes(suite, axes, max_cases)
    skips = Skips(suite)
    variants = [_Template.of(suite, name) for name in suite.variants]
    tensors = suite.tensors
    check_sides(suite, axes)
    cases: list[Case] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for fields in _points(axes):
        here = _Point.of(suite, tensors, fields)
        if here.comparison in seen:
            what = f"two cases would both be called {_id(variants[0].name, here.comparison)!r}"
            raise suite.error(("axes",), what, remedy="make the values differ in words")
        seen.add(here.comparison)
        for case in (variant.case(here) for variant in variants):
            because = skips.because({**here.fields, "repeat": case.repeat, "variant": case.variant})
            if because is None:
                cases.append(case)
            else:
                skipped.append(Skipped(case.id, because))
    return _only(cases, only), skipped


def _chosen(suite: Suite, quick: bool, settings: Mapping[str, Sequence[Scalar]]) -> Axes:
    axes: Axes = suite.entries
    set_axes = narrow(axes, settings, lambda key, what: SuiteError(what, where=f"--set {key}"))
    if not quick:
        return {**axes, **set_axes}
    quick_axes = narrow(axes, suite.quick, lambda key, what: suite.error(("quick", key), what))
    first = {axis: entries[:1] for axis, entries in axes.items()}
    return {**first, **quick_axes, **set_axes}


def _points(axes: Axes) -> Iterator[dict[str, Scalar]]:
    for entries in itertools.product(*axes.values()):
        yield {name: value for entry in entries for name, value in entry.items()}


def _check_sizes(suite: Suite, axes: Axes, max_cases: int) -> None:
    """Refuse what would come to too many cases, or to names nobody can read, before anything is made."""
    count = len(suite.variants) * prod(len(entries) for entries in axes.values())
    if count > max_cases:
        sizes = " x ".join(f"{axis} {len(entries)}" for axis, entries in axes.items())
        what = f"{count} cases (variants {len(suite.variants)} x {sizes}) are more than {max_cases}"
        raise suite.error(("axes",), what, remedy=f"fewer values, or --set; --max-cases {count}")
    words = sum(max(len(_words(entry)) + 1 for entry in entries) for entries in axes.values())
    if words > MAX_ID:
        what = f"a case's name would have {words} characters, which is more than {MAX_ID}"
        raise suite.error(("axes",), what, remedy="fewer or shorter fields and values")


@dataclass(frozen=True)
class _Point:
    """What the cases at one point share."""

    fields: Mapping[str, Scalar]
    point: Mapping[str, Scalar]
    comparison: str
    inputs: tuple[TensorSpec, ...]

    @classmethod
    def of(cls, suite: Suite, tensors: Sequence[tuple[Keys, TensorInput]], fields: Mapping[str, Scalar]) -> Self:
        point = {key: value for key, value in fields.items() if key != "repeat"}
        inputs = []
        for keys, tensor in tensors:
            spec = TensorSpec(_substituted(tuple(tensor.shape), point), _substituted(tensor.integers, point))
            if prod(spec.shape) >= 2**40:
                raise suite.error(keys, f"an input of {prod(spec.shape):.2g} elements fits no machine")
            inputs.append(spec)
        return cls(fields, point, _words(point), tuple(inputs))


@dataclass(frozen=True)
class _Template:
    """What the cases of one variant share."""

    suite: Suite
    name: str
    variant: Variant
    plain: bool
    lines: Mapping[str, int]

    @classmethod
    def of(cls, suite: Suite, name: str) -> Self:
        variant, keys = suite.variants[name], ("variants", name, "args")
        lines = {"": suite.line(*keys[:2])} | {argument: suite.line(*keys, argument) for argument in variant.args}
        return cls(suite, name, variant, not _refers(variant.args), lines)

    def case(self, here: _Point) -> Case:
        suite, variant, point = self.suite, self.variant, here.point
        layer = _substituted(variant.layer, point)
        if not isinstance(layer, str):
            what = f"{variant.layer} stands for {layer!r}, not for a layer's name"
            raise suite.error(("variants", self.name, "layer"), what)
        return Case(
            id=_id(self.name, here.comparison),
            suite=suite.name,
            variant=self.name,
            layer=layer,
            args=variant.args if self.plain else _substituted(variant.args, point),
            inputs=here.inputs,
            point=point,
            comparison=here.comparison,
            batch=int(point.get("batch", here.inputs[0].shape[0])),
            dtype=str(point.get("dtype", OPTIONS["dtype"][0])),
            layout=str(point.get("layout") or variant.layout or OPTIONS["layout"][0]),
            mode=str(point.get("mode") or variant.mode or OPTIONS["mode"][0]),
            cache=str(point.get("cache") or variant.cache or ("hot" if is_network(layer) else OPTIONS["cache"][0])),
            repeat=int(here.fields.get("repeat", 1)),
            baseline=suite.baseline,
            pair=variant.pair,
            compile=variant.compile,
            equivalent=variant.equivalent,
            accuracy=variant.accuracy,
            source=suite.source,
            lines=self.lines,
        )


def _substituted(value: Any, point: Mapping[str, Scalar]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        return point[value[1:]]
    if isinstance(value, dict):
        return {key: _substituted(item, point) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_substituted(item, point) for item in value])
    return value


def _only(cases: list[Case], globs: Sequence[str]) -> list[Case]:
    if not globs:
        return cases
    for glob in globs:
        if not any(_glob_matches(glob, case) for case in cases):
            known = dict.fromkeys(case.variant for case in cases)
            what = f"no variant or case matches {glob!r}{did_you_mean(glob, known)}"
            raise SuiteError(what, where="--only", remedy=f"variants: {listed(known)}")
    kept = {case.id for case in cases if any(_glob_matches(glob, case) for glob in globs)}
    compared = {case.comparison for case in cases if case.id in kept}
    return [
        case for case in cases if case.id in kept or (case.variant == case.baseline and case.comparison in compared)
    ]


def _glob_matches(glob: str, case: Case) -> bool:
    return any(fnmatchcase(text.lower(), glob.lower()) for text in (case.variant, case.id))


def _refers(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_refers(item) for item in value.values())
    return any(_refers(item) for item in value) if isinstance(value, list) else str(value).startswith("$")


def _id(variant: str, comparison: str) -> str:
    return f"{variant} | {comparison}" if comparison else variant


def _words(point: Mapping[str, Scalar]) -> str:
    return " ".join(f"{key}={_word(value)}" for key, value in point.items())


def _word(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
