"""How is a machine written down? The YAML layout of a machine sheet, checked where it enters.

Every number is a mapping ``{value: ..., source: ..., doubt: ...}``, so that no number can be stored without saying
where it comes from.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from energybench.errors import MachineError
from energybench.spelling import did_you_mean

Dtype = Literal["float64", "float32", "tf32", "float16", "bfloat16", "float8", "int8"]


def _no_booleans(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")
    return value


class Number(BaseModel):
    """A number, where it comes from and, where there is one, the doubt about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    value: Annotated[float, BeforeValidator(_no_booleans), Field(ge=0, allow_inf_nan=False)]
    source: Annotated[str, Field(min_length=1)]
    doubt: str = ""


def _positive(number: Number) -> Number:
    if number.value == 0:
        raise ValueError("must be above zero")
    return number


Positive = Annotated[Number, AfterValidator(_positive)]


class Sheet(BaseModel):
    """The layout of a machine sheet; the fields mean what they mean in ``Machine``.

    Powers and unit energies may be left out together: of a device without a meter nobody knows them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: Annotated[str, Field(min_length=1)]
    provenance: Literal["data sheet", "fitted", "measured"]
    compute_capability: Annotated[float, Field(gt=0)] | None = None
    match: tuple[str, ...] = ()
    peak_flops_per_s: Annotated[dict[Dtype, Positive], Field(min_length=1)]
    float16_accumulate_peak_flops_per_s: dict[Dtype, Positive] = Field(default_factory=dict)
    bandwidth_bytes_per_s: Positive
    l2_bytes: Positive | None = None
    l2_bandwidth_bytes_per_s: Positive | None = None
    tdp_w: Positive | None = None
    idle_w: Number | None = None
    static_w: Number | None = None
    j_per_flop: dict[Dtype, Number] = Field(default_factory=dict)
    j_per_byte: Number | None = None
    launch_s: Number

    @model_validator(mode="after")
    def _consistent(self) -> Sheet:
        told = [bool(self.j_per_flop), self.j_per_byte is not None, self.static_w is not None, self.tdp_w is not None]
        if any(told) and not all(told):
            raise ValueError("j_per_flop, j_per_byte, static_w and tdp_w are all there, or none: joules need all four")
        if self.j_per_flop and set(self.j_per_flop) != set(self.peak_flops_per_s):
            raise ValueError("j_per_flop and peak_flops_per_s must name the same data types")
        for field in ("idle_w", "static_w"):
            watts = getattr(self, field)
            if watts is not None and self.tdp_w is not None and watts.value >= self.tdp_w.value:
                raise ValueError(f"{field} is not below tdp_w, so no power is left for work")
        return self


WORD_FIELDS = frozenset({"name", "title", "provenance", "compute_capability", "match"})
NUMBER_FIELDS = tuple(name for name in Sheet.model_fields if name not in WORD_FIELDS)


def sheet_from_yaml(text: str, *, origin: str) -> Sheet:
    """The sheet written in ``text``.

    Args:
        text: YAML.
        origin: file it came from, for the message.

    Raises:
        MachineError: the YAML or the sheet is wrong; the message names file and field.
    """
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader that also rejects duplicate keys
    except (yaml.YAMLError, RecursionError) as error:
        raise MachineError(f"not valid YAML: {error}", where=origin) from error
    if not isinstance(data, dict):
        raise MachineError(f"a machine sheet is a mapping of fields, not {type(data).__name__}", where=origin)
    return sheet_from_dict(data, origin=origin)


def sheet_from_dict(data: Mapping[str, Any], *, origin: str) -> Sheet:
    """The sheet that parsed data describes.

    Raises:
        MachineError: a number is missing, not finite or negative, a key is unknown, or numbers contradict each other.
    """
    try:
        return Sheet.model_validate(data)
    except ValidationError as error:
        raise _sheet_error(error, origin) from error


def _sheet_error(error: ValidationError, origin: str) -> MachineError:
    # a misspelt key is also a missing one: the misspelling is what the user can see
    first, *others = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"] if part != "[key]"]
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        what = f"unknown key{did_you_mean(path[-1], Sheet.model_fields if len(path) == 1 else Number.model_fields)}"
    elif first["type"] != "missing" and not isinstance(first["input"], Mapping):
        what = f"{what}, got {first['input']!r}"
    more = f" (and {len(others)} more)" if others else ""
    return MachineError(
        f"{what}{more}",
        where=f"{origin}, field {'.'.join(path)}" if path else origin,
        why="every predicted latency and joule is computed from these numbers",
        remedy="write every number as {value: 4.8e+12, source: ...}, in base units (FLOP/s, bytes/s, W, J, s)",
    )


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; a number would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {name!r}", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)
