"""MobileNet-V1, its depthwise layers opened to any number of groups or group size, its pointwise layers to pruning."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from energybench.layers.group_conv import GroupConv2d
from energybench.layers.sparse_pointwise import Execution, pointwise

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Channels after the stem and after each of the 13 blocks."""

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Stride of the 3x3 layer of each block."""


class MobileNetV1(nn.Module):
    """MobileNet-V1 for N x 3 x 224 x 224 images, its 13 3x3 layers grouped; output N x ``classes``.

    Only the 3x3 layers change, and the pointwise ones where ``sparsity`` is given; stem and classifier stay.
    ``group_size=1`` is the published network with depthwise layers.

    Args:
        groups: the same number of groups in every 3x3 layer (FgGC).
        group_size: the same group size in every 3x3 layer (E2GC).
        sparsity: share of zeros of every pointwise layer; None leaves them dense.
        execution: how pruned layers are run (see ``SparsePointwiseConv2d``).
        classes: outputs of the classifier.

    Raises:
        ValueError: not exactly one of ``groups`` and ``group_size``, or it does not divide 32.

    Source: Howard et al., MobileNets (arXiv 1704.04861), table 1; Jha et al., E2GC (arXiv 2006.15100) for the groups,
    Elsen et al. (arXiv 1911.09723), section 4, for pruning all pointwise layers and nothing else.
    That the pointwise layers stay ungrouped is our reading of E2GC.
    """

    def __init__(
        self,
        *,
        groups: int | None = None,
        group_size: int | None = None,
        sparsity: float | None = None,
        execution: Execution = "csr",
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.stem = _conv_norm_relu(nn.Conv2d(3, WIDTHS[0], 3, stride=2, padding=1, bias=False))
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    _conv_norm_relu(GroupConv2d(C, 3, groups=groups, group_size=group_size, stride=stride)),
                    _norm_relu(pointwise(C, K, sparsity, execution), K),
                )
                for (C, K), stride in zip(pairwise(WIDTHS), STRIDES, strict=True)
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(WIDTHS[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.blocks(self.stem(x)))
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


def _conv_norm_relu(conv: nn.Conv2d) -> nn.Sequential:
    return _norm_relu(conv, conv.out_channels)


def _norm_relu(conv: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
