"""InceptionNeXt: ConvNeXt's shape with Inception depthwise convolutions, batch norms and a larger head."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from energybench.layers.inception_dw import MetaNeXtBlock2d


@dataclass(frozen=True)
class Size:
    """Blocks, channels and pointwise expansion of each stage, and the mixer's share and band."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    expansions: tuple[int, ...] = (4, 4, 4, 3)
    branch_ratio: float = 0.125
    band_kernel_size: int = 11


SIZES = {
    "atto": Size((2, 2, 6, 2), (40, 80, 160, 320), branch_ratio=0.25, band_kernel_size=9),
    "T": Size((3, 3, 9, 3), (96, 192, 384, 768)),
    "S": Size((3, 3, 27, 3), (96, 192, 384, 768)),
    "B": Size((3, 3, 27, 3), (128, 256, 512, 1024)),
}
"""The published sizes."""


class InceptionNeXt(nn.Module):
    """InceptionNeXt for N x 3 x 224 x 224 images; output N x ``classes``.

    Args:
        size: ``atto``, ``T``, ``S`` or ``B``.
        classes: outputs of the classifier.

    Raises:
        ValueError: there is no such size.

    Source: Yu et al., InceptionNeXt (arXiv 2303.16900), table 1 and section 3.3, and sail-sg/inceptionnext at 3f9769c.
    """

    def __init__(self, size: str = "T", *, classes: int = 1000) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size={size!r} is none of {', '.join(SIZES)}")
        shape = SIZES[size]
        widths = shape.widths
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), nn.BatchNorm2d(widths[0]))
        self.downsamples = nn.ModuleList(
            [
                nn.Identity(),
                *(nn.Sequential(nn.BatchNorm2d(C), nn.Conv2d(C, K, 2, stride=2)) for C, K in pairwise(widths)),
            ]
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    MetaNeXtBlock2d(
                        C,
                        expansion=expansion,
                        branch_ratio=shape.branch_ratio,
                        band_kernel_size=shape.band_kernel_size,
                    )
                    for _ in range(depth)
                )
            )
            for C, depth, expansion in zip(widths, shape.depths, shape.expansions, strict=True)
        )
        hidden = 3 * widths[-1]
        self.head = nn.Sequential(
            nn.Linear(widths[-1], hidden), nn.GELU(), nn.LayerNorm(hidden, eps=1e-6), nn.Linear(hidden, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.stem(x)
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            x = stage(downsample(x))
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores
