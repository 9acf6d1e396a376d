"""What can a suite file say? Its keys, their types and their defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
)
from pydantic.dataclasses import dataclass

from energybench.errors import SuiteError
from energybench.suite.document import Document, Keys

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
Extent = Annotated[StrictInt, Field(gt=0)] | Annotated[StrictStr, Field(pattern=r"^\$")]
"""One side of an input: a positive number or a ``$reference``."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "dtype": ("float32", "tf32", "float16", "bfloat16", "float64"),
    "layout": ("contiguous", "channels_last"),
    "mode": ("inference", "training"),
    "cache": ("rotated", "hot"),
}
"""Reserved fields with a closed set of values; the first is the default (``cache`` depends on the layer)."""

_DURATION_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_precision(value: object) -> float:
    """A relative half-width from ``1%`` or ``0.01``.

    Raises:
        ValueError: it is neither, or not between 0 and 1.
    """
    text = str(value).strip()
    try:
        precision = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        raise ValueError(f"a precision is written 1% or 0.01, not {text!r}") from None
    if 1.0 <= precision < 100.0 and not text.endswith("%"):
        raise ValueError(f"{text!r} means {100 * precision:g} %: write {text}% or {precision / 100:g}")
    if not 0.0 < precision < 1.0:
        raise ValueError(f"a precision lies between 0 and 100 %, both excluded; {text!r} does not")
    return precision


def parse_duration_s(value: object) -> float:
    """Seconds from a number of seconds or ``500ms``, ``30s``, ``20min``, ``1.5h``.

    Raises:
        ValueError: it is none of these, or not positive.
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*(ns|us|ms|s|min|h)?\s*", str(value))
    try:
        duration_s = float(match[1]) * _DURATION_S[match[2] or "s"] if match else 0.0
    except ValueError:
        duration_s = 0.0
    if not 0.0 < duration_s < float("inf"):
        raise ValueError(f"a duration is written 500ms, 30s, 20min or as seconds, not {value!r}")
    return duration_s


class _Model(BaseModel):
    """Keys are closed, and what is said of each below it is also its description in the JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Accuracy:
    """Top-1 accuracy of a network in percent, and who reported it."""

    top1: Annotated[float, Field(ge=0, le=100)]
    """Percent."""
    source: Annotated[str, Field(min_length=1)]
    """Who reported it, and for which weights."""


class TensorInput(_Model):
    """An input tensor: its shape, and for token ids the number they stay below."""

    shape: Annotated[list[Extent], Field(min_length=1, max_length=8)]
    """Sides, each a number or a ``$field``."""
    integers: Extent | None = None
    """Fill with integers from 0 up to below this, instead of normal numbers."""


Input = Annotated[
    Annotated[list[Extent], Field(min_length=1, max_length=8), Tag("shape")] | Annotated[TensorInput, Tag("tensor")],
    Discriminator(lambda value: "shape" if isinstance(value, list) else "tensor"),
]


Entry = Annotated[
    Annotated[Scalar, Tag("value")] | Annotated[dict[str, Scalar], Tag("fields")],
    Discriminator(lambda value: "fields" if isinstance(value, dict) else "value"),
]
"""One value of an axis: a scalar, or fields that move together."""


class Variant(_Model):
    """One way to do the job."""

    layer: Annotated[StrictStr, Field(min_length=1)]
    """A layer or network of energybench, ``torch.nn:X``, or what ``--plugin`` allows: ``file:Class``, ``timm:name``."""
    args: dict[str, Any] = {}
    """Its arguments; ``$field`` stands for a field of the axes."""
    pair: StrictStr | None = None
    """The variant it is compared with at matched MACs; the report answers there first."""
    accuracy: Accuracy | None = None
    """For the plots that put accuracy beside latency and joules."""
    compile: StrictBool = False
    """Run through ``torch.compile``."""
    equivalent: StrictBool = False
    """Its outputs must be the baseline's, given the same weights; checked before anything is measured."""
    layout: Literal["contiguous", "channels_last"] | None = None
    """How four-dimensional tensors lie in memory; contiguous by default."""
    mode: Literal["inference", "training"] | None = None
    """An iteration is a forward pass, or forward, backward and an SGD step; inference by default."""
    cache: Literal["rotated", "hot"] | None = None
    """Layers rotate through inputs larger than twice the last cache, networks find theirs hot, by default."""


class Skip(BaseModel):
    """Cases left out: those whose variant and fields all equal the given values, and why."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, Scalar]

    because: Annotated[StrictStr, Field(min_length=1)]
    """The reason, as the report will give it."""
    variant: StrictStr | None = None
    """The variant, where only one is meant."""

    @property
    def fields(self) -> Mapping[str, Scalar]:
        """The axis fields that must match."""
        return self.__pydantic_extra__


class Method(_Model):
    """How to measure. The defaults are the trustworthy ones; a suite changes what it can argue for."""

    precision: Annotated[float, BeforeValidator(parse_precision)] = 0.01
    """Wanted relative half-width of the 95 % interval: ``1%`` or ``0.01``."""
    windows: Annotated[StrictInt, Field(ge=5)] = 8
    """Least number of windows of every variant, at least 5; rounded up to even, because variants are compared."""
    window_s: Annotated[float, BeforeValidator(parse_duration_s)] | None = None
    """Wish for the least length of a window, ``500ms`` or seconds, where 1 s (with a counter) or 5 s (without) is too
    long; lengthened, and the run says so, where the sensor or the precision of all windows together needs more."""
    budget_s: Annotated[float, BeforeValidator(parse_duration_s)] | None = None
    """Stop after this time, spread so that the widest interval is narrowed most: ``20min`` or seconds."""


class Suite(_Model):
    """A named study, as its file says it. Make one with :func:`load_suite` or :func:`parse_suite`."""

    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Begins the run folder's name."""
    about: StrictStr = ""
    """What the study asks, in one line."""
    baseline: StrictStr
    """The variant that the others are judged against."""
    variants: Annotated[dict[str, Variant], Field(min_length=1)]
    """The ways to do the job, by the names they have in tables and figures."""
    input: Input | None = None
    """The one tensor that every variant is given: its shape, or ``{shape, integers}``."""
    inputs: Annotated[list[Input], Field(min_length=1, max_length=16)] | None = None
    """The tensors, where there are several; instead of ``input``."""
    axes: dict[str, Annotated[list[Entry], Field(min_length=1)]] = {}
    """What a case runs through. Axes multiply; the fields of one value move together. ``batch``, ``dtype``, ``layout``,
    ``mode`` and ``cache`` mean what they say, ``repeat`` weights the total over stages."""
    skip: list[Skip] = []
    """Cases that are left out, each with its reason."""
    quick: dict[str, list[Scalar]] = {}
    """What ``--quick`` keeps, by axis or field; axes not named keep their first value."""
    method: Method = Method()
    """How to measure."""
    analytic: Literal["group_size"] | None = None
    """The analytic model that the study is compared with."""

    _document: Document = PrivateAttr()

    @classmethod
    def of(cls, document: Document) -> Self:
        """The suite a document describes, its keys and types checked, its meaning not yet.

        Raises:
            pydantic.ValidationError: a key or a type is wrong.
        """
        suite = cls.model_validate(document.data)
        suite._document = document
        return suite

    @property
    def text(self) -> str:
        """The file's text."""
        return self._document.text

    @property
    def source(self) -> str:
        """The file's name, as messages give it."""
        return self._document.source

    @property
    def tensors(self) -> list[tuple[Keys, TensorInput]]:
        """The inputs in one form, each with its place in the file."""
        if self.inputs is None:
            return [(("input",), _tensor(self.input))] if self.input is not None else []
        return [(("inputs", index), _tensor(item)) for index, item in enumerate(self.inputs)]

    @property
    def entries(self) -> dict[str, list[dict[str, Scalar]]]:
        """The axes in one form: the fields of every entry of every axis."""
        return {
            axis: [value if isinstance(value, dict) else {axis: value} for value in values]
            for axis, values in self.axes.items()
        }

    def error(self, keys: Keys, what: str, *, why: str = "", remedy: str = "") -> SuiteError:
        """An error that names file, line and field."""
        return self._document.error(keys, what, why=why, remedy=remedy)

    def line(self, *keys: str | int) -> int:
        """Line of a key in the file, or of the nearest key around it."""
        return int(self._document.where(*keys).removeprefix(f"{self.source}:").split(":")[0])


def _tensor(given: list[Extent] | TensorInput) -> TensorInput:
    return given if isinstance(given, TensorInput) else TensorInput(shape=given)
