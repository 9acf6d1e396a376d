"""What must operators without multiply-accumulates move?"""

from __future__ import annotations

from collections.abc import Sequence

from energybench.cost.operator import Family, Operand, OperatorCost


def elementwise_cost(
    *, inputs: Sequence[Operand], outputs: Sequence[Operand], name: str = "elementwise", path: str = ""
) -> OperatorCost:
    """Cost of an operator whose every output element depends on one element of each input."""
    return _traffic_cost("elementwise", name, inputs, outputs, path)


def normalisation_cost(
    *, inputs: Sequence[Operand], outputs: Sequence[Operand], name: str = "batch_norm", path: str = ""
) -> OperatorCost:
    """Cost of a normalisation; ``inputs`` include its weights and running statistics."""
    return _traffic_cost("normalisation", name, inputs, outputs, path)


def pooling_cost(
    *,
    inputs: Sequence[Operand],
    outputs: Sequence[Operand],
    kernel_size: int = 0,
    name: str = "pooling",
    path: str = "",
) -> OperatorCost:
    """Cost of pooling with windows of side ``kernel_size`` (0: adaptive)."""
    return _traffic_cost("pooling", name, inputs, outputs, path, kernel_size)


def reduction_cost(
    *, inputs: Sequence[Operand], outputs: Sequence[Operand], name: str = "reduction", path: str = ""
) -> OperatorCost:
    """Cost of a sum, mean, maximum or similar along axes."""
    return _traffic_cost("reduction", name, inputs, outputs, path)


def copy_cost(
    *, inputs: Sequence[Operand], outputs: Sequence[Operand], name: str = "copy", path: str = ""
) -> OperatorCost:
    """Cost of moving elements: copies, concatenation, gathers, fills (no inputs), casts."""
    return _traffic_cost("copy", name, inputs, outputs, path)


def _traffic_cost(
    family: Family, name: str, inputs: Sequence[Operand], outputs: Sequence[Operand], path: str, kernel_size: int = 0
) -> OperatorCost:
    return OperatorCost(
        name=name,
        family=family,
        macs=0,
        read_bytes=sum(operand.bytes for operand in inputs),
        write_bytes=sum(operand.bytes for operand in outputs),
        dtype=(*outputs, *inputs)[0].dtype,
        kernel_size=kernel_size,
        path=path,
    )
