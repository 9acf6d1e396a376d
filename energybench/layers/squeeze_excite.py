"""Squeeze and excitation: every channel scaled by a gate that all channels' means decide."""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcite2d(nn.Module):
    """Scales every channel by a gate computed from all channels' means.

    Args:
        channels: C.
        hidden: channels between the two pointwise layers of the gate.

    Shapes: N x C x H x W to the same; weights hidden x C and C x hidden with biases.
    Source: Hu et al., Squeeze-and-Excitation Networks (arXiv 1709.01507), section 3.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        gate: Tensor = self.excite(self.squeeze(self.pool(x)).relu()).sigmoid()
        return x * gate
