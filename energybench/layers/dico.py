"""DiCo's block: a diffusion block of plain convolutions and a compact channel attention, steered by a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from energybench.layers.dit import modulated
from energybench.layers.group_conv import GroupConv2d
from energybench.layers.layer_norm import LayerNorm2d


class CompactChannelAttention2d(nn.Module):
    """Scales every channel by a gate: one pointwise layer on all channels' means, and a sigmoid.

    Args:
        channels: C.

    Shapes: N x C x H x W to the same; weight C x C with bias.
    Source: Ai et al., DiCo (arXiv 2505.11196), section 3.3, and shallowdream204/DiCo at b596b05.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        gate: Tensor = self.gate(self.pool(x)).sigmoid()
        return x * gate


class DiCoConv2d(nn.Module):
    """What DiCo has in place of self-attention: pointwise, depthwise 3x3, GELU, channel attention, pointwise.

    Args:
        channels: C.
        attention: with the compact channel attention; without it this is the paper's ablation.

    Shapes: N x C x H x W to the same; pointwise weights C x C, depthwise C x 3 x 3, all with biases.
    Source: Ai et al., DiCo (arXiv 2505.11196), section 3.3, and shallowdream204/DiCo at b596b05.
    """

    def __init__(self, channels: int, *, attention: bool = True) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, channels, 1)
        self.spatial = GroupConv2d(channels, 3, group_size=1, bias=True)
        self.act = nn.GELU()
        self.attention = CompactChannelAttention2d(channels) if attention else nn.Identity()
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.leave(self.attention(self.act(self.spatial(self.enter(x)))))
        return y


class DiCoBlock2d(nn.Module):
    """A DiCo convolution, then two pointwise layers; each normalised, modulated and gated by a condition, plus input.

    Its gates start like any linear layer's, not at the published zero, with which the block would hand its input on
    and the layers behind the gates would do work that nothing depends on.

    Args:
        channels: C.
        expansion: E of the pointwise layers.
        attention: with the compact channel attention.

    Shapes: N x C x H x W and a condition N x C to N x C x H x W.
    Source: Ai et al., DiCo (arXiv 2505.11196), figure 4 and section 3.3, and shallowdream204/DiCo at b596b05; the
        modulation from Peebles and Xie, DiT (arXiv 2212.09748), section 3.2.
    """

    def __init__(self, channels: int, *, expansion: int = 2, attention: bool = True) -> None:
        super().__init__()
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 6 * channels))
        self.norm = LayerNorm2d(channels, affine=False)
        self.conv = DiCoConv2d(channels, attention=attention)
        self.feed = nn.Sequential(
            nn.Conv2d(channels, expansion * channels, 1), nn.GELU(), nn.Conv2d(expansion * channels, channels, 1)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """N x C x H x W and N x C to N x C x H x W."""
        shift, scale, gate, feed_shift, feed_scale, feed_gate = self.modulation(condition)[:, :, None, None].chunk(6, 1)
        x = torch.addcmul(x, gate, self.conv(modulated(self.norm(x), shift, scale)))
        return torch.addcmul(x, feed_gate, self.feed(modulated(self.norm(x), feed_shift, feed_scale)))
