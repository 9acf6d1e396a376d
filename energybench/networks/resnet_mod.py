"""ResNets in which every other block works on a few selected channels only: CNN Mixture-of-Depths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from energybench.layers.mixture_of_depths import MoDBlock2d, standard_block
from energybench.networks.resnet import image_stem

WIDTHS = (256, 512, 1024, 2048)
"""Output channels of the stages."""

Blocks = Literal["MoD", "random", "standard", "none"]


class ResNetMoD(nn.Module):
    """ResNet for N x 3 x 224 x 224 images whose blocks alternate between standard and MoD; output N x ``classes``.

    The first block of each stage, which changes shape, is standard.

    Args:
        repeats: blocks of each stage.
        alternate: what every other block is: ``MoD``; ``random``, channels drawn once; ``standard``, which makes it
            an ordinary ResNet ([3, 4, 6, 3] is ResNet-50); ``none``, the MoD blocks left out.
        reduction: c of the MoD blocks.
        classes: outputs of the classifier.

    Raises:
        ValueError: there are not four stages, or no such alternative.

    Source: "CNN Mixture-of-Depths", claims for ResNet75-MoD and ResNet86-MoD; He et al. (arXiv 1512.03385), table 1.
        Which repeats the paper's networks have is unknown to us; those of the suite are ours.
    """

    def __init__(
        self,
        repeats: Sequence[int] = (3, 4, 6, 3),
        *,
        alternate: Blocks = "MoD",
        reduction: int = 64,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        if len(repeats) != len(WIDTHS):
            raise ValueError(f"repeats={list(repeats)} must name the blocks of {len(WIDTHS)} stages")
        if alternate not in ("MoD", "random", "standard", "none"):
            raise ValueError(f"alternate={alternate!r} is none of MoD, random, standard, none")
        self.stem = image_stem()
        stages = []
        channels = 64
        for index, (width, blocks) in enumerate(zip(WIDTHS, repeats, strict=True)):
            stage: list[nn.Module] = []
            for block in range(blocks):
                if block % 2 == 0 or alternate == "standard":
                    stride = 2 if index > 0 and block == 0 else 1
                    stage.append(standard_block(channels, width, stride=stride))
                elif alternate != "none":
                    choice: Literal["top-k", "random"] = "top-k" if alternate == "MoD" else "random"
                    stage.append(MoDBlock2d(width, reduction=reduction, choice=choice))
                channels = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.stages(self.stem(x)))
        scores: Tensor = self.classifier(x.flatten(1))
        return scores
