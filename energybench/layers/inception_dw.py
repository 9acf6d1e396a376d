"""Inception depthwise convolution: most channels untouched, the rest through a small square and two bands."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from energybench.layers.group_conv import GroupConv2d


class InceptionDWConv2d(nn.Module):
    """Depthwise convolution of a part of the channels, by 3x3, 1 x 11 and 11 x 1 filters; the others pass.

    Channels are split in the order (identity, square, horizontal band, vertical band); each of the three branches has
    floor(C r) channels. It equals one depthwise band x band convolution whose filters are zero outside those shapes.

    Args:
        channels: C.
        square_kernel_size: side of the square filter.
        band_kernel_size: length of the two bands.
        branch_ratio: r, the share of channels of each branch.
        in_place: write the three branches over the input and return it, so that identity channels are not moved: the
            convolutions and copies of 3 r C channels are all that is left. Only where nobody needs the input again
            (not in a residual block), and not in training. Called again on the same tensor it convolves what it wrote;
            values then settle where a filter's loss balances its bias.

    Raises:
        ValueError: an even filter, or branches of no channels, or of more channels than there are.

    Shapes: N x C x H x W to the same; weights floor(C r) x (3 x 3, 1 x 11, 11 x 1), with biases.
    Source: Yu et al., InceptionNeXt (arXiv 2303.16900), section 3.2, and sail-sg/inceptionnext at 3f9769c. ``in_place``
        is ours.
    """

    def __init__(
        self,
        channels: int,
        square_kernel_size: int = 3,
        band_kernel_size: int = 11,
        branch_ratio: float = 0.125,
        *,
        in_place: bool = False,
    ) -> None:
        super().__init__()
        branch = int(channels * branch_ratio)
        if not 0 < 3 * branch <= channels:
            raise ValueError(f"branch_ratio={branch_ratio} of {channels} channels leaves no three branches")
        if square_kernel_size % 2 == 0 or band_kernel_size % 2 == 0:
            raise ValueError("square_kernel_size and band_kernel_size must be odd; same padding needs it")
        band, half = band_kernel_size, band_kernel_size // 2
        self.split = [channels - 3 * branch, branch, branch, branch]
        self.in_place = in_place
        self.square = GroupConv2d(branch, square_kernel_size, group_size=1, bias=True)
        self.horizontal = nn.Conv2d(branch, branch, (1, band), padding=(0, half), groups=branch)
        self.vertical = nn.Conv2d(branch, branch, (band, 1), padding=(half, 0), groups=branch)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        identity, *parts = torch.split(x, self.split, dim=1)
        branches = [conv(part) for conv, part in zip((self.square, self.horizontal, self.vertical), parts, strict=True)]
        if not self.in_place:
            return torch.cat([identity, *branches], dim=1)
        for part, branch in zip(parts, branches, strict=True):
            part.copy_(branch)
        return x


class MetaNeXtBlock2d(nn.Module):
    """InceptionNeXt's block: Inception depthwise, batch norm, two pointwise layers with GELU, layer scale, plus input.

    Args:
        channels: C.
        expansion: E of the pointwise layers.
        branch_ratio: share of channels of each branch.
        band_kernel_size: length of the bands.

    Shapes: N x C x H x W to the same; pointwise weights E C x C and C x E C with biases, scale C (1e-6 at first).
    Source: Yu et al., InceptionNeXt (arXiv 2303.16900), figure 2 and section 3.1, and sail-sg/inceptionnext at 3f9769c.
    """

    def __init__(
        self, channels: int, *, expansion: int = 4, branch_ratio: float = 0.125, band_kernel_size: int = 11
    ) -> None:
        super().__init__()
        self.mixer = InceptionDWConv2d(channels, 3, band_kernel_size, branch_ratio)
        self.norm = nn.BatchNorm2d(channels)
        self.expand = nn.Conv2d(channels, expansion * channels, 1)
        self.act = nn.GELU()
        self.project = nn.Conv2d(expansion * channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.scale * self.project(self.act(self.expand(self.norm(self.mixer(x))))) + x
        return y
