"""ResNet-50, its 3x3 layers as published or replaced by pooling, and the frame it shares with ResNeXt-50."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from energybench.layers.bottleneck import Bottleneck, Spatial, spatial_layer

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Width of the 3x3 layers and number of blocks of each stage; a block puts out four times its width."""


class ResNet50(nn.Module):
    """ResNet-50 for N x 3 x 224 x 224 images; output N x ``classes``.

    Args:
        spatial: what the 3x3 layers are: ``standard`` is the published network, ``max`` is R50-max and ``hybrid``
            R50-hybrid of the PfLayer paper (see :class:`energybench.layers.bottleneck.PfBottleneck`).
        classes: outputs of the classifier.

    Raises:
        ValueError: ``spatial`` names no layer.

    Source: He et al. (arXiv 1512.03385), table 1, stride in the 3x3 layer; Han et al. (arXiv 2202.02777) for pooling.
    """

    def __init__(self, *, spatial: Spatial = "standard", classes: int = 1000) -> None:
        super().__init__()
        self.stem = image_stem()
        self.stages = residual_stages(
            STAGES, expansion=4, spatial=lambda width, stride: spatial_layer(width, spatial, stride=stride)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(4 * STAGES[-1][0], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.stages(self.stem(x)))
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


def image_stem() -> nn.Sequential:
    """Images to 64 channels at a quarter of their side: 7x7 convolution and 3x3 max pooling, each of stride 2."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )


def residual_stages(
    stages: Sequence[tuple[int, int]], *, expansion: int, spatial: Callable[[int, int], nn.Module]
) -> nn.Sequential:
    """Four stages of bottlenecks behind :func:`image_stem`, each but the first halving the side.

    Args:
        stages: width and number of blocks of each.
        expansion: output channels of a block over its width.
        spatial: makes the spatial layer of a block from its width and stride.
    """
    made = []
    channels = 64
    for index, (width, blocks) in enumerate(stages):
        stage = []
        for block in range(blocks):
            stride = 2 if index > 0 and block == 0 else 1
            out_channels = expansion * width
            stage.append(Bottleneck(channels, out_channels, spatial(width, stride), width=width, stride=stride))
            channels = out_channels
        made.append(nn.Sequential(*stage))
    return nn.Sequential(*made)
