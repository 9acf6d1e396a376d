"""Small-kernel aggregation: a 3x3 convolution whose filter is another one at every pixel, shared by some channels.

Channel c uses filter c modulo K, so that of C channels C/K share one. Three executions of the same sum: ``unfold``
(patches gathered, then a batched product), ``taps`` (nine shifted multiply-adds; they count as elementwise, without
MACs) and ``triton`` (one kernel, ``ska_kernel``, loaded when it first runs; inference on CUDA GPUs only, not tuned).

Source: Wang et al., LSNet (arXiv 2503.23135), section 3.2, and jameslahm/lsnet at cbe737c for the order of channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from energybench.cost import OperatorCost
from energybench.cost.kernels import dtype_name, kernel_cost, operand
from energybench.layers.hand_written import hand_written

Execution = Literal["unfold", "taps", "triton"]
EXECUTIONS = ("unfold", "taps", "triton")


def small_kernel_aggregation(x: Tensor, weights: Tensor, execution: Execution) -> Tensor:
    """The 3x3 neighbourhood of every pixel, weighted by that pixel's own filters; zeros outside the image.

    Args:
        x: N x C x H x W.
        weights: N x K x 9 x H x W, taps in rows; K divides C.
        execution: how; see the module.

    Returns:
        N x C x H x W.

    Raises:
        UnsupportedError: ``triton``, where there is no Triton or no CUDA GPU.
    """
    match execution:
        case "unfold":
            return _unfolded(x, weights)
        case "taps":
            return _tap_by_tap(x, weights)
        case "triton":
            y: Tensor = ska(x.contiguous(), weights.contiguous())
            return y


def _unfolded(x: Tensor, weights: Tensor) -> Tensor:
    N, C, H, W = x.shape
    K = weights.shape[1]
    patches = F.unfold(x, 3, padding=1).view(N, C // K, K, 9, H * W)
    return torch.einsum("nsktp,nktp->nskp", patches, weights.flatten(3)).reshape(N, C, H, W)


def _tap_by_tap(x: Tensor, weights: Tensor) -> Tensor:
    _, C, H, W = x.shape
    K = weights.shape[1]
    padded = F.pad(x, (1, 1, 1, 1)).unflatten(1, (C // K, K))
    total: Tensor = padded[..., :H, :W] * weights[:, None, :, 0]
    for tap in range(1, 9):
        u, v = divmod(tap, 3)
        total = torch.addcmul(total, padded[..., u : u + H, v : v + W], weights[:, None, :, tap])
    return total.flatten(1, 2)


@torch.library.custom_op("energybench::ska", mutates_args=())
def ska(x: Tensor, weights: Tensor) -> Tensor:
    """The whole aggregation as one kernel; both tensors contiguous."""
    kernels = hand_written("ska_kernel", x, "execution: triton")
    return kernels.launch_ska(x, weights)  # type: ignore[no-any-return]


@ska.register_fake
def _(x: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG001  (the operator's)
    return torch.empty_like(x)


@kernel_cost("energybench::ska")
def _ska_cost(arguments: Sequence[Any], outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """Nine MACs an output element, as a depthwise 3x3; input, filters and output once."""
    x, weights = arguments
    found = OperatorCost(
        name="ska",
        family="conv_depthwise",
        macs=9 * outputs[0].numel(),
        read_bytes=operand(x).bytes + operand(weights).bytes,
        write_bytes=operand(outputs[0]).bytes,
        dtype=dtype_name(x.dtype),
        groups=x.shape[1],
        group_size=1,
        kernel_size=3,
        out_channels=x.shape[1],
        stride=1,
    )
    return (found,)
