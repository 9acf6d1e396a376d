"""DiT: a diffusion transformer on patches of latents, conditioned on time and label."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from energybench.layers.dit import DiTBlock, modulated

FREQUENCIES = 256
CLASSES = 1000
PATCH = 2
NOISE_AND_VARIANCE = 8
"""Channels of the output: twice the latents' four."""


@dataclass(frozen=True)
class Size:
    """Channels, blocks, and heads of the attention."""

    width: int
    depth: int
    heads: int


SIZES = {
    "S": Size(384, 12, 6),
    "B": Size(768, 12, 12),
    "L": Size(1024, 24, 16),
    "XL": Size(1152, 28, 16),
}
"""The published sizes, all with patches of 2 x 2 here."""


class DiT(nn.Module):
    """One step of denoising: latents N x 4 x H x H, times N and labels N to noise and variance, N x 8 x H x H.

    Args:
        size: ``S``, ``B``, ``L`` or ``XL``; with patches of 2 x 2 these are DiT-S/2 to DiT-XL/2.
        latents: H, the side of the latents; 32 for 256-pixel images, 64 for 512-pixel ones.

    Raises:
        ValueError: there is no such size, or patches do not divide the latents.

    Source: Peebles and Xie, DiT (arXiv 2212.09748), section 3.2, tables 1 and 4, and facebookresearch/DiT at 00d70ac.
    """

    places: Tensor

    def __init__(self, size: str = "S", *, latents: int = 32) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size={size!r} is none of {', '.join(SIZES)}")
        if latents < PATCH or latents % PATCH:
            raise ValueError(f"latents={latents} is no multiple of the patches' side {PATCH}")
        shape = SIZES[size]
        C = shape.width
        self.stem = nn.Conv2d(4, C, PATCH, stride=PATCH)
        self.register_buffer("places", _places(C, latents // PATCH), persistent=False)
        self.condition = Condition(C)
        self.blocks = nn.ModuleList(DiTBlock(C, shape.heads) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(C, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(C, 2 * C))
        self.head = nn.Linear(C, PATCH**2 * NOISE_AND_VARIANCE)

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Latents, integer times and integer labels to N x 8 x H x H."""
        patches = self.stem(x)
        condition = self.condition(time, label)
        y = patches.flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            y = block(y, condition)
        shift, scale = self.modulation(condition)[:, None].chunk(2, 2)
        y = self.head(modulated(self.norm(y), shift, scale))
        # A token's numbers are row, column and channel of its patch, the channel fastest.
        tiles: Tensor = y.view(-1, *patches.shape[2:], PATCH, PATCH, NOISE_AND_VARIANCE)
        return tiles.permute(0, 5, 1, 3, 2, 4).reshape(-1, NOISE_AND_VARIANCE, *x.shape[2:])


class Condition(nn.Module):
    """A vector for every time (of 256 sines and cosines, through two linear layers) and label (of a table), added.

    The table has one more row, for no label.

    Args:
        width: channels of the vector.

    Shapes: times N and labels N to N x width.
    Source: Peebles and Xie, DiT (arXiv 2212.09748), appendix A, and facebookresearch/DiT at 00d70ac.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", _frequencies(FREQUENCIES // 2), persistent=False)
        self.time = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(CLASSES + 1, width)

    def forward(self, time: Tensor, label: Tensor) -> Tensor:
        """Times N and labels N to N x width."""
        angles = time[:, None].float() * self.frequencies.float()  # times up to 1000 need more than ten bits
        waves = torch.cat([angles.cos(), angles.sin()], 1).to(self.label.weight.dtype)
        condition: Tensor = self.time(waves) + self.label(label)
        return condition


def _frequencies(number: int) -> Tensor:
    """From 1 downwards, evenly spaced in the logarithm, towards 1/10000."""
    return torch.exp(-math.log(10_000) * torch.arange(number) / number)


def _places(width: int, side: int) -> Tensor:
    """The vector of every place, 1 x side^2 x width: a half of sines and cosines of its column, a half of its row."""
    angles = torch.arange(side)[:, None] * _frequencies(width // 4)
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    columns = waves[None].expand(side, -1, -1)
    rows = waves[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], 2).flatten(0, 1)[None]
