"""What must an operator do? Closed forms on shapes: multiply-accumulates, and bytes with each element moved once.

Conventions of every function here:

- One MAC is one multiply-accumulate of a convolution or a matrix product; FLOPs are two times that. Everything else
  (activations, pooling, normalisation, softmax) costs bytes and no MACs.
- Counts are of one iteration, that is of the whole batch. Taps that fall on padding are counted, as is usual.
- Bytes are the operator's own inputs, weights and outputs, each element once: the least it can move when nothing
  is left in a cache.

Source: standard counts; ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, NamedTuple

Family = Literal[
    "conv_dense",
    "conv_grouped",
    "conv_depthwise",
    "conv_pointwise",
    "gemm",
    "sparse",
    "normalisation",
    "elementwise",
    "pooling",
    "reduction",
    "copy",
    "other",
]

Pair = int | tuple[int, int]

DTYPE_BYTES: Mapping[str, int] = {
    "float64": 8,
    "float32": 4,
    "tf32": 4,  # stored as float32, multiplied with a 10-bit mantissa
    "float16": 2,
    "bfloat16": 2,
    "float8": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "complex64": 8,
    "complex128": 16,
}
"""Bytes of one stored element."""


@dataclass(frozen=True)
class OperatorCost:
    """What one operator must do in one iteration (the whole batch).

    Attributes:
        name: the operator: ``conv2d``, ``linear``, ``batch_norm``, ``relu``, ...
        family: its kind, by which kernels behave alike.
        macs: multiply-accumulates; 0 for all but convolutions and matrix products.
        read_bytes: inputs and weights, each element once.
        write_bytes: outputs, each element once.
        dtype: number format of the arithmetic (``tf32`` is its own value).
        groups: number of groups of a convolution.
        group_size: input channels per group, 0 where that has no meaning.
        kernel_size: the filter's (longer) side, 0 where that has no meaning.
        out_channels: output channels of a convolution, columns of a matrix product; 0 where that has no meaning.
        stride: the (longer) step of a convolution's filter; 0 where that has no meaning.
        input_side: the (longer) side of a convolution's input; 0 where that has no meaning.
        weight_bytes: the part of ``read_bytes`` that are parameters and buffers, the same in every iteration.
        reread_bytes: read again, beyond ``read_bytes``, by an operator whose very work is to read the same memory over
            and over (`machines measure`); a cache that holds what it reads gives them. 0 for all others.
        path: module path inside the network, ``features.3.conv``; empty for the module itself.
        known: False for an operator no closed form knows: its bytes are counted from its tensors, its MACs are
            unknown, and it is named to the user.
    """

    name: str
    family: Family
    macs: int
    read_bytes: int
    write_bytes: int
    dtype: str = "float32"
    groups: int = 1
    group_size: int = 0
    kernel_size: int = 0
    out_channels: int = 0
    stride: int = 0
    input_side: int = 0
    weight_bytes: int = 0
    reread_bytes: int = 0
    path: str = ""
    known: bool = True

    @property
    def flops(self) -> int:
        """Floating-point operations: two per MAC."""
        return 2 * self.macs

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return self.read_bytes + self.write_bytes


class Operand(NamedTuple):
    """A tensor an operator reads or writes: its shape (distinct elements only) and number format."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def bytes(self) -> int:
        """Bytes of all elements."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]


def conv2d_output_size(size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Output side of a convolution or pooling along one axis of ``size`` elements.

    Raises:
        ValueError: the filter does not fit into the padded input.
    """
    span = dilation * (kernel - 1) + 1
    if size + 2 * padding < span:
        raise ValueError(f"a filter spanning {span} does not fit into {size} elements padded by {padding}")
    return (size + 2 * padding - span) // stride + 1


def conv2d_cost(
    *,
    N: int,
    C: int,
    H: int,
    W: int,
    K: int,
    R: int,
    S: int,
    groups: int = 1,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    bias: bool = False,
    dtype: str = "float32",
    path: str = "",
) -> OperatorCost:
    """Cost of a 2-D convolution of N x C x H x W with K filters of C/groups x R x S.

    MACs = N P Q K (C / groups) R S, with P x Q the output.

    Raises:
        ValueError: ``groups`` does not divide C and K, or the filter does not fit.

    Source: zoo convention 0 (standard count).
    """
    if C % groups or K % groups:
        raise ValueError(f"groups={groups} must divide the {C} input and {K} output channels")
    (u, v), (p, q), (d, e) = _pair(stride), _pair(padding), _pair(dilation)
    P = conv2d_output_size(H, R, stride=u, padding=p, dilation=d)
    Q = conv2d_output_size(W, S, stride=v, padding=q, dilation=e)
    return convolution_cost(
        input_shape=(N, C, H, W),
        weight_shape=(K, C // groups, R, S),
        output_shape=(N, K, P, Q),
        groups=groups,
        stride=max(u, v),
        bias=bias,
        dtype=dtype,
        path=path,
    )


def convolution_cost(
    *,
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    output_shape: Sequence[int],
    groups: int = 1,
    stride: int = 1,
    transposed: bool = False,
    bias: bool = False,
    dtype: str = "float32",
    path: str = "",
) -> OperatorCost:
    """Cost of a convolution in any number of dimensions, from its shapes.

    Args:
        input_shape: (N, C, spatial ...).
        weight_shape: (K, C / groups, filter ...); transposed: (C, K / groups, filter ...).
        output_shape: (N, K, spatial ...).
        groups: number of groups.
        stride: longer step of the filter.
        transposed: each *input* element meets the whole filter, instead of each output element.
        bias: K more elements are read.
        dtype: number format of all operands.
        path: module path.
    """
    dimensions = len(weight_shape) - 2
    macs = prod(input_shape if transposed else output_shape) * prod(weight_shape[1:])
    element_bytes = DTYPE_BYTES[dtype]
    weights = prod(weight_shape) + (output_shape[1] if bias else 0)
    group_size = input_shape[1] // groups
    kernel_size = max(weight_shape[2:])
    return OperatorCost(
        name=f"conv{'_transpose' if transposed else ''}{dimensions}d",
        family=_convolution_family(groups, group_size, kernel_size),
        macs=macs,
        read_bytes=(prod(input_shape) + weights) * element_bytes,
        write_bytes=prod(output_shape) * element_bytes,
        dtype=dtype,
        groups=groups,
        group_size=group_size,
        kernel_size=kernel_size,
        out_channels=output_shape[1],
        stride=stride,
        input_side=max(input_shape[2:]),
        weight_bytes=weights * element_bytes,
        path=path,
    )


def convolution_backward_cost(
    forward: OperatorCost, *, x: Operand, weight: Operand, y: Operand, gradients: Sequence[bool]
) -> tuple[OperatorCost, ...]:
    """Costs of the gradients of a convolution, one operator (and kernel) each.

    The gradients of the input and of the weight each take exactly the MACs of the forward pass, whatever the number
    of groups: they are the same sum over outputs, filter taps and channels of a group.

    Args:
        forward: cost of the forward pass.
        x: its input.
        weight: its weight.
        y: its output.
        gradients: which of (input, weight, bias) are wanted.

    Source: ours; torch's own counter charges (1 + groups) / 2 times too much (pytorch pull request 183405).
    """
    of_input, of_weight, of_bias = gradients
    costs = []
    if of_input:
        name, read_bytes = f"{forward.name}_input_gradient", y.bytes + weight.bytes
        costs.append(replace(forward, name=name, read_bytes=read_bytes, write_bytes=x.bytes))
    if of_weight:
        name, read_bytes = f"{forward.name}_weight_gradient", y.bytes + x.bytes
        costs.append(replace(forward, name=name, read_bytes=read_bytes, write_bytes=weight.bytes, weight_bytes=0))
    if of_bias:
        bias, name = Operand((y.shape[1],), y.dtype), f"{forward.name}_bias_gradient"
        costs.append(reduction_cost(inputs=[y], outputs=[bias], name=name, path=forward.path))
    return tuple(costs)


def linear_cost(
    *,
    rows: int,
    in_features: int,
    out_features: int,
    bias: bool = True,
    dtype: str = "float32",
    path: str = "",
) -> OperatorCost:
    """Cost of ``rows`` vectors of ``in_features`` times an ``out_features`` x ``in_features`` weight."""
    weights = in_features * out_features + (out_features if bias else 0)
    return OperatorCost(
        name="linear",
        family="gemm",
        macs=rows * in_features * out_features,
        read_bytes=(rows * in_features + weights) * DTYPE_BYTES[dtype],
        write_bytes=rows * out_features * DTYPE_BYTES[dtype],
        dtype=dtype,
        out_channels=out_features,
        weight_bytes=weights * DTYPE_BYTES[dtype],
        path=path,
    )


def matmul_cost(
    *, M: int, N: int, K: int, batch: int = 1, addend_elements: int = 0, dtype: str = "float32", path: str = ""
) -> OperatorCost:
    """Cost of ``batch`` products of an M x K by a K x N matrix, plus an addend of ``addend_elements`` in all."""
    read = batch * (M * K + K * N) + addend_elements
    return OperatorCost(
        name="matmul",
        family="gemm",
        macs=batch * M * N * K,
        read_bytes=read * DTYPE_BYTES[dtype],
        write_bytes=batch * M * N * DTYPE_BYTES[dtype],
        dtype=dtype,
        out_channels=N,
        path=path,
    )


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


def _convolution_family(groups: int, group_size: int, kernel_size: int) -> Family:
    if groups > 1:
        return "conv_depthwise" if group_size == 1 else "conv_grouped"
    return "conv_pointwise" if kernel_size == 1 else "conv_dense"


def _pair(value: Pair) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
