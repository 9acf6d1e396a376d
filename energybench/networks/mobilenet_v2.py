"""MobileNet-V2 and its block, the depthwise layers opened to any group size, the pointwise ones to pruning."""

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
                block = InvertedResidual(
                    C, K, expansion=expansion, stride=first if number == 0 else 1,
                    group_size=group_size, sparsity=sparsity, execution=execution,
                )  # fmt: skip
                blocks.append(block)
                C = K
        self.stem = norm_relu6(nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False), STEM)
        self.blocks = nn.Sequential(*blocks)
        self.head = norm_relu6(pointwise(C, HEAD, sparsity, execution), HEAD)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(HEAD, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.head(self.blocks(self.stem(x))))
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


class InvertedResidual(nn.Module):
    """MobileNet-V2's block: pointwise to E C, grouped 3x3, both with ReLU6, pointwise to K without; plus the input.

    Args:
        in_channels: C.
        out_channels: K. The input is added where the block keeps its shape.
        expansion: E; without expansion (E = 1) the first layer is left out.
        stride: of the 3x3 layer.
        group_size: input channels per group of the 3x3 layer; 1 is depthwise, as published.
        sparsity: share of zeros of the pointwise layers; None leaves them dense.
        execution: how pruned layers are run (see ``SparsePointwiseConv2d``).

    Raises:
        ValueError: the group size does not divide E C, or the sparsity is not in [0, 1).

    Source: Sandler et al. (arXiv 1801.04381), table 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int,
        stride: int,
        group_size: int = 1,
        sparsity: float | None = None,
        execution: Execution = "csr",
    ) -> None:
        super().__init__()
        wide = expansion * in_channels
        layers: list[nn.Module] = []
        if expansion > 1:
            layers.append(norm_relu6(pointwise(in_channels, wide, sparsity, execution), wide))
        layers.append(norm_relu6(GroupConv2d(wide, 3, group_size=group_size, stride=stride), wide))
        layers += [pointwise(wide, out_channels, sparsity, execution), nn.BatchNorm2d(out_channels)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x K x H/stride x W/stride."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def norm_relu6(conv: nn.Module, channels: int) -> nn.Sequential:
    """A convolution that makes ``channels`` channels, its batch norm and ReLU6."""
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))
