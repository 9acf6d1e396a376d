"""ResNeXt-50, with one number of groups or one group size for all its 3x3 layers."""

from __future__ import annotations

from torch import Tensor, nn

from energybench.layers.group_conv import GroupConv2d

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
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        stages = []
        channels = 64
        for index, (width, blocks) in enumerate(STAGES):
            stage = []
            for block in range(blocks):
                stride = 2 if index > 0 and block == 0 else 1
                conv = GroupConv2d(width, 3, groups=groups, group_size=group_size, stride=stride)
                stage.append(Bottleneck(channels, conv, 2 * width))
                channels = 2 * width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.stages(self.stem(x)))
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


class Bottleneck(nn.Module):
    """Residual block: pointwise to the width of ``conv``, ``conv`` itself (with the stride), pointwise to K.

    Args:
        in_channels: channels C of the input.
        conv: the spatial convolution between the two pointwise ones.
        out_channels: channels K of the output. The shortcut is a strided pointwise layer where shapes differ.

    Source: Xie et al. (arXiv 1611.05431), figure 3 (c).
    """

    def __init__(self, in_channels: int, conv: nn.Conv2d, out_channels: int) -> None:
        super().__init__()
        self.reduce = _conv_norm(nn.Conv2d(in_channels, conv.in_channels, 1, bias=False))
        self.spatial = _conv_norm(conv)
        self.expand = _conv_norm(nn.Conv2d(conv.out_channels, out_channels, 1, bias=False))
        self.relu = nn.ReLU(inplace=True)
        stride = conv.stride[0]
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = _conv_norm(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x K x H/stride x W/stride."""
        y = self.relu(self.reduce(x))
        y = self.relu(self.spatial(y))
        out: Tensor = self.relu(self.expand(y) + self.shortcut(x))
        return out


def _conv_norm(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))
