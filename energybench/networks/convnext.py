"""ConvNeXt: 7x7 depthwise convolutions, layer norms, and a residual network shaped like a transformer."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from energybench.layers.layer_norm import LayerNorm2d
from energybench.layers.residual_blocks import ConvNeXtBlock2d

SIZES = {"atto": ((2, 2, 6, 2), (40, 80, 160, 320)), "T": ((3, 3, 9, 3), (96, 192, 384, 768))}
"""Blocks and channels of each stage. ``atto`` is timm's, not the paper's."""


class ConvNeXt(nn.Module):
    """ConvNeXt for N x 3 x 224 x 224 images; output N x ``classes``.

    Args:
        size: ``T``, or ``atto``.
        kernel_size: of the depthwise convolutions; 7 as published, 5 and 3 are ablations of the InceptionNeXt paper.
        classes: outputs of the classifier.

    Raises:
        ValueError: there is no such size.

    Source: Liu et al., A ConvNet for the 2020s (arXiv 2201.03545), table 9 and figure 4; ``atto`` from timm.
    """

    def __init__(self, size: str = "T", *, kernel_size: int = 7, classes: int = 1000) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size={size!r} is none of {', '.join(SIZES)}")
        depths, widths = SIZES[size]
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), LayerNorm2d(widths[0]))
        self.downsamples = nn.ModuleList(
            [nn.Identity(), *(nn.Sequential(LayerNorm2d(C), nn.Conv2d(C, K, 2, stride=2)) for C, K in pairwise(widths))]
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock2d(C, kernel_size=kernel_size) for _ in range(depth)))
            for C, depth in zip(widths, depths, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.stem(x)
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            x = stage(downsample(x))
        scores: Tensor = self.classifier(self.norm(x.mean((2, 3))))
        return scores
