"""Large depthwise convolution trained with dilated small ones beside it, and the single one they merge into."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energybench.layers.group_conv import GroupConv2d

BRANCHES: Mapping[int, tuple[tuple[int, int], ...]] = {
    5: ((3, 1), (3, 2)),
    7: ((5, 1), (3, 2), (3, 3)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    15: ((5, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    17: ((5, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
}
"""Side and dilation of the filters beside a large one of each side."""


class DWConvNorm(nn.Module):
    """A dilated "same" depthwise convolution without bias, and its batch norm.

    Shapes: N x C x H x W to the same.
    """

    def __init__(self, channels: int, side: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (side - 1) // 2
        self.conv = nn.Conv2d(channels, channels, side, padding=padding, dilation=dilation, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.norm(self.conv(x))
        return y


class DilatedReparamBlock2d(nn.Module):
    """Depthwise K x K convolution plus dilated small ones in parallel, each with its batch norm (UniRepLKNet).

    This is the training form. In evaluation it equals one K x K convolution, which :func:`merged_reparam` makes: with
    zeros between its taps a dilated filter is a larger plain one.

    Args:
        channels: C.
        kernel_size: side K of the large filter; 5, 7, ... 17.

    Raises:
        ValueError: nobody published branches for this side.

    Shapes: N x C x H x W to the same; weights C x K x K and C x k x k per branch, two batch norm vectors each.
    Source: Ding et al., UniRepLKNet (arXiv 2311.15599), section 3.1, and AILab-CVC/UniRepLKNet at b5677d8.
    """

    def __init__(self, channels: int, kernel_size: int = 13) -> None:
        super().__init__()
        if kernel_size not in BRANCHES:
            raise ValueError(
                f"kernel_size={kernel_size} has no published branches; {', '.join(map(str, BRANCHES))} have"
            )
        self.large = DWConvNorm(channels, kernel_size, 1)
        self.branches = nn.ModuleList(DWConvNorm(channels, side, dilation) for side, dilation in BRANCHES[kernel_size])

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.large(x)
        for branch in self.branches:
            y = y + branch(x)
        return y


@torch.no_grad()
def merged_reparam(block: DilatedReparamBlock2d) -> nn.Conv2d:
    """The single depthwise convolution with bias that a block in evaluation equals.

    Every batch norm is folded into its filter, every filter gets zeros between its taps and around them up to K x K,
    and all are added.
    """
    weight, bias = folded(block.large.conv, block.large.norm)
    for branch in block.branches:
        if not isinstance(branch, DWConvNorm):
            raise TypeError(f"a branch is a {type(branch).__name__}; those of a block are DWConvNorm")
        small, offset = folded(branch.conv, branch.norm)
        small = stuffed(small, branch.conv.dilation[0])
        margin = (weight.shape[-1] - small.shape[-1]) // 2
        weight = weight + F.pad(small, (margin, margin, margin, margin))
        bias = bias + offset
    return with_filter(weight, bias)


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what a convolution and its batch norm do in evaluation."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded: it depends on its input")
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    bias = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
    return conv.weight * scale.view(-1, 1, 1, 1), norm.bias + bias * scale


def stuffed(weight: Tensor, dilation: int) -> Tensor:
    """A filter with ``dilation`` - 1 zeros between its taps: K x C x R x S to the size it spans."""
    *channels, R, S = weight.shape
    wide = weight.new_zeros(*channels, dilation * (R - 1) + 1, dilation * (S - 1) + 1)
    wide[:, :, ::dilation, ::dilation] = weight
    return wide


def with_filter(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """A depthwise "same" convolution of the given C x 1 x K x K filter and C biases."""
    conv = GroupConv2d(weight.shape[0], weight.shape[-1], group_size=1, bias=True).to(weight)
    conv.load_state_dict({"weight": weight, "bias": bias})
    return conv
