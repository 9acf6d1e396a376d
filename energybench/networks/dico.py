"""DiCo: a U-shaped diffusion network of convolutional blocks, conditioned on time and label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from energybench.layers.dico import DiCoBlock2d
from energybench.layers.dit import modulated
from energybench.layers.layer_norm import LayerNorm2d
from energybench.networks.dit import Condition


@dataclass(frozen=True)
class Size:
    """Width of the first level, blocks of (encoder 1, encoder 2, middle, decoder 2, decoder 1), pointwise expansion."""

    width: int
    depths: tuple[int, int, int, int, int]
    expansion: int = 2


SIZES = {
    "S": Size(128, (5, 4, 4, 4, 4)),
    "B": Size(256, (5, 4, 4, 4, 4)),
    "L": Size(352, (9, 8, 9, 8, 9)),
    "XL": Size(416, (9, 9, 10, 9, 9)),
}
"""Four of the published sizes."""


class DiCo(nn.Module):
    """One step of denoising: latents N x 4 x H x W, times N and labels N to noise and variance, N x 8 x H x W.

    Latents of 256-pixel images are 4 x 32 x 32, of 512-pixel ones 4 x 64 x 64.

    Args:
        size: ``S``, ``B``, ``L`` or ``XL``.

    Raises:
        ValueError: there is no such size.

    Source: Ai et al., DiCo (arXiv 2505.11196), section 3.2, table 1, and shallowdream204/DiCo at b596b05.
    """

    def __init__(self, size: str = "S") -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size={size!r} is none of {', '.join(SIZES)}")
        shape = SIZES[size]
        C = shape.width
        widths = (C, 2 * C, 4 * C, 2 * C, 2 * C)  # the last decoder keeps both halves of what it concatenates
        self.stem = nn.Conv2d(4, C, 3, padding=1)
        self.conditions = nn.ModuleList(Condition(width) for width in widths[:3])
        self.levels = nn.ModuleList(
            _Level(width, depth, shape.expansion) for width, depth in zip(widths, shape.depths, strict=True)
        )
        self.downs = nn.ModuleList(_down(width) for width in widths[:2])
        self.ups = nn.ModuleList([_up(4 * C), _up(2 * C)])
        self.merges = nn.ModuleList([nn.Conv2d(4 * C, 2 * C, 1), nn.Conv2d(2 * C, 2 * C, 1)])
        self.norm = LayerNorm2d(2 * C, affine=False)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(2 * C, 4 * C))
        self.head = nn.Conv2d(2 * C, 8, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Latents, integer times and integer labels to N x 8 x H x W."""
        narrow, middle, wide = (condition(time, label) for condition in self.conditions)
        first = self.levels[0](self.stem(x), narrow)
        second = self.levels[1](self.downs[0](first), middle)
        y = self.levels[2](self.downs[1](second), wide)
        y = self.levels[3](self.merges[0](torch.cat([self.ups[0](y), second], 1)), middle)
        y = self.levels[4](self.merges[1](torch.cat([self.ups[1](y), first], 1)), middle)
        shift, scale = self.modulation(middle)[:, :, None, None].chunk(2, 1)
        out: Tensor = self.head(modulated(self.norm(y), shift, scale))
        return out


class _Level(nn.Module):
    """Blocks of one width in a row, all given the same condition."""

    def __init__(self, width: int, depth: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DiCoBlock2d(width, expansion=expansion) for _ in range(depth))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """N x C x H x W and N x C to N x C x H x W."""
        for block in self.blocks:
            x = block(x, condition)
        return x


def _down(width: int) -> nn.Sequential:
    """N x C x H x W to N x 2 C x H/2 x W/2."""
    return nn.Sequential(nn.Conv2d(width, width // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


def _up(width: int) -> nn.Sequential:
    """N x C x H x W to N x C/2 x 2 H x 2 W."""
    return nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.PixelShuffle(2))
