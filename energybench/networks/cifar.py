"""Small networks for 32 x 32 images: ResNet-20 to -56 and MobileNetV2 as they are used on CIFAR."""

from __future__ import annotations

from torch import Tensor, nn

from energybench.layers.bottleneck import conv_norm_relu
from energybench.layers.group_conv import GroupConv2d
from energybench.networks.mobilenet_v2 import InvertedResidual, norm_relu6

INVERTED = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels at width 1, blocks and stride of each stage of MobileNetV2; two strides less than for 224."""


class CifarResNet(nn.Module):
    """ResNet of basic blocks for N x 3 x 32 x 32 images; output N x ``classes``.

    Args:
        depth: 20, 32, 44 or 56: 6 n + 2 for n blocks a stage.
        classes: outputs of the classifier.

    Raises:
        ValueError: ``depth`` is not of that form.

    Source: He et al. (arXiv 1512.03385), section 4.2, with pointwise shortcuts as in chenyaofo/pytorch-cifar-models.
    """

    def __init__(self, depth: int = 20, *, classes: int = 10) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth={depth} is not 6 n + 2")
        layers: list[nn.Module] = [conv_norm_relu(GroupConv2d(in_channels=3, out_channels=16, groups=1))]
        channels = 16
        for width in (16, 32, 64):
            for _ in range(blocks):
                layers.append(BasicBlock(channels, width, stride=2 if width > channels else 1))
                channels = width
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        scores: Tensor = self.classifier(self.pool(self.features(x)).flatten(1))
        return scores


class CifarMobileNetV2(nn.Module):
    """MobileNetV2 for N x 3 x 32 x 32 images; output N x ``classes``.

    Args:
        width: factor on the channels: 0.5, 0.75, 1 or 1.4.
        classes: outputs of the classifier.

    Source: Sandler et al. (arXiv 1801.04381), table 2; strides and rounding as in chenyaofo/pytorch-cifar-models.
    """

    def __init__(self, width: float = 1.0, *, classes: int = 10) -> None:
        super().__init__()
        channels = _eights(32 * width)
        layers: list[nn.Module] = [norm_relu6(GroupConv2d(in_channels=3, out_channels=channels, groups=1), channels)]
        for expansion, wide, blocks, stride in INVERTED:
            for block in range(blocks):
                step = stride if block == 0 else 1
                layers.append(InvertedResidual(channels, _eights(wide * width), expansion=expansion, stride=step))
                channels = _eights(wide * width)
        last = _eights(1280 * max(1.0, width))
        layers.append(norm_relu6(nn.Conv2d(channels, last, 1, bias=False), last))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        scores: Tensor = self.classifier(self.pool(self.features(x)).flatten(1))
        return scores


class BasicBlock(nn.Module):
    """Residual block of two 3x3 layers; the shortcut is a strided pointwise layer where shapes differ.

    Source: He et al. (arXiv 1512.03385), figure 5, left.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        first = GroupConv2d(in_channels=in_channels, out_channels=out_channels, groups=1, stride=stride)
        self.first = conv_norm_relu(first)
        self.second = nn.Sequential(GroupConv2d(out_channels, groups=1), nn.BatchNorm2d(out_channels))
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            pointwise = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(pointwise, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x K x H/stride x W/stride."""
        y: Tensor = self.relu(self.second(self.first(x)) + self.shortcut(x))
        return y


def _eights(channels: float) -> int:
    """The nearest multiple of 8, 8 at least, that is not below nine tenths of ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
