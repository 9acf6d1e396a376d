"""MobileNet-V2, its depthwise layers opened to any group size, its pointwise layers to pruning."""

from __future__ import annotations

from torch import Tensor, nn

from energybench.layers.group_conv import GroupConv2d
from energybench.layers.sparse_pointwise import Execution, pointwise

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, output channels, number of blocks and stride of the first one, stage by stage."""

STEM, HEAD = 32, 1280


class MobileNetV2(nn.Module):
    """MobileNet-V2 for N x 3 x 224 x 224 images; output N x ``classes``.

    Args:
        group_size: input channels per group of every 3x3 layer; 1, depthwise, is the published network.
        sparsity: share of zeros of every pointwise layer; None leaves them dense.
        execution: how pruned layers are run (see ``SparsePointwiseConv2d``).
        classes: outputs of the classifier.

    Raises:
        ValueError: the group size does not divide the channels, or the sparsity is not in [0, 1).

    Source: Sandler et al., MobileNetV2 (arXiv 1801.04381), table 2; Elsen et al. (arXiv 1911.09723), section 4: stem,
    depthwise layers and classifier stay dense.
    """

    def __init__(
        self,
        *,
        group_size: int = 1,
        sparsity: float | None = None,
        execution: Execution = "csr",
        classes: int = 1000,
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        C = STEM
        for expansion, K, count, first in STAGES:
            for number in range(count):
                stride = first if number == 0 else 1
                blocks.append(_Inverted(C, K, expansion, stride, group_size, sparsity, execution))
                C = K
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU6(inplace=True)
        )
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(pointwise(C, HEAD, sparsity, execution), nn.BatchNorm2d(HEAD), nn.ReLU6(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(HEAD, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.head(self.blocks(self.stem(x))))
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


class _Inverted(nn.Module):
    """1x1 expansion (unless it is 1), 3x3, 1x1 projection without activation; a residual where shapes allow."""

    def __init__(
        self,
        C: int,
        K: int,
        expansion: int,
        stride: int,
        group_size: int,
        sparsity: float | None,
        execution: Execution,
    ) -> None:
        super().__init__()
        wide = expansion * C
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [pointwise(C, wide, sparsity, execution), nn.BatchNorm2d(wide), nn.ReLU6(inplace=True)]
        layers += [
            GroupConv2d(wide, 3, group_size=group_size, stride=stride),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
            pointwise(wide, K, sparsity, execution),
            nn.BatchNorm2d(K),
        ]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and C == K

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y
