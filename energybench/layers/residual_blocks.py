"""Residual blocks of convolutional networks, side by side at one shape: ConvFirst, MBConv, FusedMBConv, ConvNeXt, MLP.

All take and return N x C x H x W. With ``folded=True`` batch norms are biases of their convolutions, as in a deployed
network; ConvNeXt's layer norm depends on its input and cannot be folded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from energybench.layers.group_conv import GroupConv2d


class ConvFirst2d(nn.Module):
    """Grouped convolution first, then an inverted bottleneck; one activation.

    Grouped R x R on C (norm, no activation), pointwise C to E C (norm, SiLU), pointwise back to C (norm), plus input.
    The spatial layer meets C channels, not E C, so that a fused kernel rereads only a narrow halo.

    Args:
        channels: C.
        expansion: E.
        group_size: channels per group of the spatial convolution; 8 fills the depth of a tensor core's instruction.
        kernel_size: R.
        folded: biases instead of batch norms.

    Raises:
        ValueError: ``group_size`` does not divide ``channels``.

    Shapes: weights C x G x R x R, E C x C, C x E C.
    Source: A. Lavin (arXiv 2404.03617) for the block; order of its layers, G = 8 and E = 6 from the author's
        benchmark of it, scripts of github.com/andravin/spio.
    """

    def __init__(
        self, channels: int, *, expansion: int = 6, group_size: int = 8, kernel_size: int = 3, folded: bool = False
    ) -> None:
        super().__init__()
        hidden = expansion * channels
        spatial = GroupConv2d(channels, kernel_size, group_size=group_size, bias=folded)
        self.conv = _normed(spatial, folded=folded)
        self.expand = _normed(_pointwise(channels, hidden, bias=folded), folded=folded)
        self.act = nn.SiLU()
        self.project = _normed(_pointwise(hidden, channels, bias=folded), folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.project(self.act(self.expand(self.conv(x)))) + x
        return y


class MBConv2d(nn.Module):
    """Inverted bottleneck with the spatial convolution in the middle, on the expanded channels.

    Pointwise C to E C (norm, SiLU), grouped R x R on E C (norm, SiLU), pointwise back to C (norm), plus input. No
    squeeze-and-excitation: its global pooling ends what a fused kernel can keep on the chip.

    Args:
        channels: C.
        expansion: E.
        group_size: channels per group of the spatial convolution; 1 is the classic depthwise one, 8 Lavin's.
        kernel_size: R.
        folded: biases instead of batch norms.

    Raises:
        ValueError: ``group_size`` does not divide the expanded channels.

    Shapes: weights E C x C, E C x G x R x R, C x E C.
    Source: Sandler et al., MobileNetV2 (arXiv 1801.04381), section 3.3; SiLU as in EfficientNet (arXiv 1905.11946);
        groups of 8 from the author's benchmark, scripts of github.com/andravin/spio.
    """

    def __init__(
        self, channels: int, *, expansion: int = 4, group_size: int = 1, kernel_size: int = 3, folded: bool = False
    ) -> None:
        super().__init__()
        hidden = expansion * channels
        self.expand = _normed(_pointwise(channels, hidden, bias=folded), folded=folded)
        spatial = GroupConv2d(hidden, kernel_size, group_size=group_size, bias=folded)
        self.conv = _normed(spatial, folded=folded)
        self.act = nn.SiLU()
        self.project = _normed(_pointwise(hidden, channels, bias=folded), folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.project(self.act(self.conv(self.act(self.expand(x))))) + x
        return y


class FusedMBConv2d(nn.Module):
    """MBConv whose expansion and spatial convolution are one dense convolution.

    Dense R x R from C to E C (norm, SiLU), pointwise back to C (norm), plus input.

    Args:
        channels: C.
        expansion: E.
        kernel_size: R.
        folded: biases instead of batch norms.

    Shapes: weights E C x C x R x R, C x E C.
    Source: Tan and Le, EfficientNetV2 (arXiv 2104.00298), figure 2, without squeeze-and-excitation.
    """

    def __init__(self, channels: int, *, expansion: int = 4, kernel_size: int = 3, folded: bool = False) -> None:
        super().__init__()
        hidden = expansion * channels
        dense = nn.Conv2d(channels, hidden, kernel_size, padding=kernel_size // 2, bias=folded)
        self.conv = _normed(dense, folded=folded)
        self.act = nn.SiLU()
        self.project = _normed(_pointwise(hidden, channels, bias=folded), folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.project(self.act(self.conv(x))) + x
        return y


class ConvNeXtBlock2d(nn.Module):
    """Depthwise convolution, layer norm over channels, two linear layers with GELU, layer scale, plus input.

    Args:
        channels: C.
        expansion: E, 4 in the paper.
        kernel_size: of the depthwise convolution, 7 in the paper.

    Shapes: weights C x 1 x 7 x 7, E C x C, C x E C, all with biases; scale C.
    Source: Liu et al., A ConvNet for the 2020s (arXiv 2201.03545), figure 4.
    """

    def __init__(self, channels: int, *, expansion: int = 4, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = GroupConv2d(channels, kernel_size, group_size=1, bias=True)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, expansion * channels)
        self.act = nn.GELU()
        self.project = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y = self.norm(self.conv(x).permute(0, 2, 3, 1))
        y = self.scale * self.project(self.act(self.expand(y)))
        out: Tensor = x + y.permute(0, 3, 1, 2)
        return out


class MLPBlock2d(nn.Module):
    """Residual block without a spatial layer: pointwise C to E C (norm, SiLU), pointwise back (norm), plus input.

    Args:
        channels: C.
        expansion: E.
        folded: biases instead of batch norms.

    Shapes: weights E C x C, C x E C.
    Source: what surrounds the blocks in the author's benchmark, scripts of github.com/andravin/spio.
    """

    def __init__(self, channels: int, *, expansion: int = 4, folded: bool = False) -> None:
        super().__init__()
        hidden = expansion * channels
        self.expand = _normed(_pointwise(channels, hidden, bias=folded), folded=folded)
        self.act = nn.SiLU()
        self.project = _normed(_pointwise(hidden, channels, bias=folded), folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.project(self.act(self.expand(x))) + x
        return y


def _pointwise(C: int, K: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(C, K, 1, bias=bias)


def _normed(conv: nn.Conv2d, *, folded: bool) -> nn.Module:
    return conv if folded else nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))
