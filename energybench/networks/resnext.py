"""ResNeXt-50, with one number of groups or one group size for all its 3x3 layers."""

from __future__ import annotations

from torch import Tensor, nn

from energybench.layers.bottleneck import conv_norm_relu
from energybench.layers.group_conv import GroupConv2d
from energybench.networks.resnet import image_stem, residual_stages

STAGES = ((128, 3), (256, 4), (512, 6), (1024, 3))
"""Width of the grouped 3x3 layers and number of blocks of each stage; a block puts out twice its width."""


class ResNeXt50(nn.Module):
    """ResNeXt-50 for N x 3 x 224 x 224 images, its 16 3x3 layers grouped; output N x ``classes``.

    ``groups=32`` is the published 32x4d network; only the grouped 3x3 layers change with the grouping.

    Args:
        groups: the same number of groups in every 3x3 layer (FgGC).
        group_size: the same group size in every 3x3 layer (E2GC).
        classes: outputs of the classifier.

    Raises:
        ValueError: not exactly one of ``groups`` and ``group_size``, or it does not divide 128.

    Source: Xie et al., Aggregated Residual Transformations (arXiv 1611.05431), table 1, stride in the 3x3 layer;
    Jha et al., E2GC (arXiv 2006.15100) for the groups.
    """

    def __init__(self, *, groups: int | None = None, group_size: int | None = None, classes: int = 1000) -> None:
        super().__init__()

        def grouped(width: int, stride: int) -> nn.Module:
            return conv_norm_relu(GroupConv2d(width, 3, groups=groups, group_size=group_size, stride=stride))

        self.stem = image_stem()
        self.stages = residual_stages(STAGES, expansion=2, spatial=grouped)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(2 * STAGES[-1][0], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.stages(self.stem(x)))
        scores: Tensor = self.classifier(x.flatten(1))
        return scores
