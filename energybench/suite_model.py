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
from energybench.suite_yaml import Document, Keys

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
    if not 0.0 < precision < 1.0:
        raise ValueError(f"a precision lies between 0 and 100 %, {text!r} does not")
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
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Accuracy:
    """Top-1 accuracy of a network in percent, and who reported it."""

    top1: Annotated[float, Field(ge=0, le=100)]
    source: Annotated[str, Field(min_length=1)]


class TensorInput(_Model):
    """An input tensor: its shape, and for token ids the number they stay below."""

    shape: Annotated[list[Extent], Field(min_length=1, max_length=8)]
    integers: Extent | None = None


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
    args: dict[str, Any] = {}
    pair: StrictStr | None = None
    accuracy: Accuracy | None = None
    compile: StrictBool = False
    equivalent: StrictBool = False
    layout: Literal["contiguous", "channels_last"] | None = None
    mode: Literal["inference", "training"] | None = None
    cache: Literal["rotated", "hot"] | None = None


class Skip(BaseModel):
    """Cases left out: those whose variant and fields all equal the given values, and why."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Scalar]

    because: Annotated[StrictStr, Field(min_length=1)]
    variant: StrictStr | None = None

    @property
    def fields(self) -> Mapping[str, Scalar]:
        """The axis fields that must match."""
        return self.__pydantic_extra__


class Method(_Model):
    """How to measure. The defaults are the trustworthy ones; a suite changes what it can argue for."""

    precision: Annotated[float, BeforeValidator(parse_precision)] = 0.01
    windows: Annotated[StrictInt, Field(ge=2)] = 8
    window_s: Annotated[float, BeforeValidator(parse_duration_s)] | None = None
    budget_s: Annotated[float, BeforeValidator(parse_duration_s)] | None = None


class Suite(_Model):
    """A named study, as its file says it. Make one with :func:`load_suite` or :func:`parse_suite`."""

    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    about: StrictStr = ""
    baseline: StrictStr
    variants: Annotated[dict[str, Variant], Field(min_length=1)]
    input: Input | None = None
    inputs: Annotated[list[Input], Field(min_length=1, max_length=16)] | None = None
    axes: dict[str, Annotated[list[Entry], Field(min_length=1)]] = {}
    skip: list[Skip] = []
    quick: dict[str, list[Scalar]] = {}
    method: Method = Method()
    analytic: Literal["group_size"] | None = None

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
