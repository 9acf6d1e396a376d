"""Residual blocks that are one kernel each: ConvFirst and MBConv, fused by hand in Triton, for inference.

The kernels are in ``block_kernels``, which is loaded when one first runs: to count what a block must do, Triton is not
needed. They run on CUDA GPUs; elsewhere a case is skipped with the reason. Not tuned, and no speed is claimed until it
is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from energybench.cost import OperatorCost, convolution_cost
from energybench.cost.fusion import fused
from energybench.cost.kernels import dtype_name, kernel_cost
from energybench.layers.hand_written import hand_written
from energybench.layers.residual_blocks import ConvFirst2d, MBConv2d

GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64)
MOST_CHANNELS = 512
"""Input channels whose sums a program can hold for 64 pixels, the smallest tile."""


class BlockFusedConvFirst2d(nn.Module):
    """ConvFirst with folded norms as one kernel; the same weights, in the same order, as ``ConvFirst2d``.

    Args:
        channels: C, up to 512.
        expansion: E.
        group_size: a power of two up to 64.

    Raises:
        ValueError: ``group_size`` is none of these or does not divide, or there are too many channels.

    Shapes: N x C x H x W to the same, best in channels_last.
    Source: A. Lavin (arXiv 2404.03617); the kernel is ours, and not tuned.
    """

    def __init__(self, channels: int, *, expansion: int = 6, group_size: int = 8) -> None:
        super().__init__()
        _check(channels, group_size)
        self.block = ConvFirst2d(channels, expansion=expansion, group_size=group_size, folded=True)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = conv_first(x, *self.block.parameters())
        return y


class BlockFusedMBConv2d(nn.Module):
    """MBConv with folded norms as one kernel; the same weights, in the same order, as ``MBConv2d``.

    Args:
        channels: C, up to 512.
        expansion: E.
        group_size: a power of two up to 64.

    Raises:
        ValueError: ``group_size`` is none of these or does not divide, or there are too many channels.

    Shapes: N x C x H x W to the same, best in channels_last.
    Source: A. Lavin (arXiv 2404.03617); the kernel is ours, and not tuned.
    """

    def __init__(self, channels: int, *, expansion: int = 4, group_size: int = 1) -> None:
        super().__init__()
        _check(channels, group_size)
        self.block = MBConv2d(channels, expansion=expansion, group_size=group_size, folded=True)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = mbconv(x, *self.block.parameters())
        return y


@torch.library.custom_op("energybench::conv_first", mutates_args=())
def conv_first(
    x: Tensor, w_conv: Tensor, b_conv: Tensor, w_expand: Tensor, b_expand: Tensor, w_project: Tensor, b_project: Tensor
) -> Tensor:
    """The whole block as one kernel."""
    launch = hand_written("block_kernels", x, "block fusion").launch_conv_first
    return launch(x, (w_conv, b_conv, w_expand, b_expand, w_project, b_project))  # type: ignore[no-any-return]


@torch.library.custom_op("energybench::mbconv", mutates_args=())
def mbconv(
    x: Tensor, w_expand: Tensor, b_expand: Tensor, w_conv: Tensor, b_conv: Tensor, w_project: Tensor, b_project: Tensor
) -> Tensor:
    """The whole block as one kernel."""
    launch = hand_written("block_kernels", x, "block fusion").launch_mbconv
    return launch(x, (w_expand, b_expand, w_conv, b_conv, w_project, b_project))  # type: ignore[no-any-return]


@conv_first.register_fake
@mbconv.register_fake
def _(x: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(x)


@kernel_cost("energybench::conv_first")
@kernel_cost("energybench::mbconv")
def _block_cost(arguments: Sequence[Any], _: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """The block's layers as one operator: all their MACs, and input, weights and output once."""
    x, *weights = arguments
    N, C, H, W = x.shape
    layers = []
    for weight in weights[::2]:
        K, per_group = weight.shape[:2]
        layer = convolution_cost(
            input_shape=(N, C, H, W),
            weight_shape=weight.shape,
            output_shape=(N, K, H, W),
            groups=C // per_group,
            bias=True,
            dtype=dtype_name(x.dtype),
        )
        layers.append(layer)
        C = K
    return (fused(layers),)


def _check(channels: int, group_size: int) -> None:
    if group_size not in GROUP_SIZES:
        raise ValueError(f"group_size={group_size} is none of {GROUP_SIZES}, which the fused kernels can pack")
    if channels > MOST_CHANNELS:
        raise ValueError(f"channels={channels}: the fused kernel holds the sums of up to {MOST_CHANNELS}")
