"""Layer norm over the channels of an image."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.LayerNorm):
    """Normalises every pixel over its channels, by layer norm on the channels-last view.

    Args:
        channels: C.
        affine: with a learned weight and bias.

    Shapes: N x C x H x W to the same; weight and bias C.
    Source: Liu et al., ConvNeXt (arXiv 2201.03545), section 2.6.
    """

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__(channels, eps=1e-6, elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        pixels = x.permute(0, 2, 3, 1)
        return F.layer_norm(pixels, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
