"""What must a convolution do, on the way forward and back?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from energybench.cost.operator import DTYPE_BYTES, Family, Operand, OperatorCost
from energybench.cost.traffic import reduction_cost

Pair = int | tuple[int, int]


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


def _convolution_family(groups: int, group_size: int, kernel_size: int) -> Family:
    if groups > 1:
        return "conv_depthwise" if group_size == 1 else "conv_grouped"
    return "conv_pointwise" if kernel_size == 1 else "conv_dense"


def _pair(value: Pair) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
