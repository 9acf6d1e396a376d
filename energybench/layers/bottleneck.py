"""Which spatial layer stands between the two pointwise ones of a residual bottleneck? Convolution, or only pooling."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from energybench.layers.group_conv import GroupConv2d

Spatial = Literal["standard", "depthwise", "avg", "max", "hybrid"]


class Bottleneck(nn.Module):
    """Residual block: pointwise to ``width`` channels, a spatial layer (with the stride), pointwise to K.

    Args:
        in_channels: channels C of the input.
        out_channels: channels K of the output. The shortcut is a strided pointwise layer where shapes differ.
        spatial: from ``width`` to ``width`` channels, strided, with the normalisation and activation it has.
        width: channels between the pointwise layers.
        stride: of the whole block.

    Source: He et al., ResNet (arXiv 1512.03385), figure 5, stride in the 3x3 layer; Xie et al. (arXiv 1611.05431),
    figure 3 (c), for grouped spatial layers.
    """

    def __init__(self, in_channels: int, out_channels: int, spatial: nn.Module, *, width: int, stride: int = 1) -> None:
        super().__init__()
        self.reduce = _conv_norm(nn.Conv2d(in_channels, width, 1, bias=False))
        self.spatial = spatial
        self.expand = _conv_norm(nn.Conv2d(width, out_channels, 1, bias=False))
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = _conv_norm(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x K x H/stride x W/stride."""
        y = self.spatial(self.relu(self.reduce(x)))
        out: Tensor = self.relu(self.expand(y) + self.shortcut(x))
        return out


class PfBottleneck(Bottleneck):
    """Bottleneck whose spatial layer may be free of parameters (PfLayer): 3x3 max pooling in place of the 3x3 layer.

    Shapes:
        Input N x C x H x W, output N x K x H/stride x W/stride; the spatial layer works on ``width`` channels.

    Args:
        in_channels: channels C.
        out_channels: channels K.
        width: channels of the spatial layer.
        spatial: ``standard`` (dense 3x3, batch norm, ReLU), ``depthwise`` (the same, depthwise), ``avg`` or ``max``
            (3x3 pooling and nothing else), ``hybrid`` (max pooling; where strided, 2x2 average pooling and a
            standard layer).
        stride: of the whole block.

    Raises:
        ValueError: ``spatial`` is none of these.

    Source: Han et al., Learning Features with Parameter-Free Layers (arXiv 2202.02777), and its repository
    naver-ai/PfLayer at 008a096. ``depthwise`` and ``avg`` are its baselines.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, width: int, spatial: Spatial = "max", stride: int = 1
    ) -> None:
        super().__init__(
            in_channels, out_channels, spatial_layer(width, spatial, stride=stride), width=width, stride=stride
        )


def spatial_layer(channels: int, spatial: Spatial, *, stride: int) -> nn.Module:
    """The spatial layer that ``spatial`` names (see :class:`PfBottleneck`), with its norm and activation.

    Raises:
        ValueError: it names none.
    """
    match spatial:
        case "standard":
            return conv_norm_relu(GroupConv2d(channels, 3, groups=1, stride=stride))
        case "depthwise":
            return conv_norm_relu(GroupConv2d(channels, 3, group_size=1, stride=stride))
        case "avg":
            return nn.AvgPool2d(3, stride=stride, padding=1)
        case "max":
            return nn.MaxPool2d(3, stride=stride, padding=1)
        case "hybrid" if stride == 1:
            return nn.MaxPool2d(3, stride=1, padding=1)
        case "hybrid":
            return nn.Sequential(nn.AvgPool2d(stride), conv_norm_relu(GroupConv2d(channels, 3, groups=1)))
        case _:
            raise ValueError(f"spatial={spatial!r} is none of standard, depthwise, avg, max, hybrid")


def conv_norm_relu(conv: nn.Conv2d) -> nn.Sequential:
    """A convolution with its batch norm and ReLU."""
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))


def _conv_norm(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))
