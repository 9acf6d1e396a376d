"""DiT's block: self-attention and two linear layers on tokens, steered by a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Every token asks all tokens of its sample, in ``heads`` heads; one linear layer before and one behind.

    Args:
        channels: C.
        heads: a divisor of C.

    Raises:
        ValueError: heads do not divide the channels.

    Shapes: N x T x C to the same; weights 3 C x C and C x C, both with biases.
    Source: Vaswani et al. (arXiv 1706.03762), section 3.2, as facebookresearch/DiT at 00d70ac has it.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"{channels} channels cannot be split among heads={heads}; choose a divisor")
        self.heads = heads
        self.enter = nn.Linear(channels, 3 * channels)
        self.leave = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N x T x C to the same."""
        query, key, value = self.enter(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        y: Tensor = self.leave(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return y


class DiTBlock(nn.Module):
    """Self-attention, then two linear layers; each normalised, modulated and gated by a condition (adaLN), plus input.

    Its gates start like any linear layer's, not at the published zero (adaLN-Zero), with which the block would hand its
    input on and the layers behind the gates would do work that nothing depends on.

    Args:
        channels: C.
        heads: a divisor of C.
        expansion: of the two linear layers.

    Raises:
        ValueError: heads do not divide the channels.

    Shapes: N x T x C and a condition N x C to N x T x C.
    Source: Peebles and Xie, DiT (arXiv 2212.09748), figure 3 and section 3.2, and facebookresearch/DiT at 00d70ac.
    """

    def __init__(self, channels: int, heads: int, *, expansion: int = 4) -> None:
        super().__init__()
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 6 * channels))
        self.norm = nn.LayerNorm(channels, eps=1e-6, elementwise_affine=False)
        self.attention = SelfAttention(channels, heads)
        self.feed = nn.Sequential(
            nn.Linear(channels, expansion * channels),
            nn.GELU(approximate="tanh"),
            nn.Linear(expansion * channels, channels),
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """N x T x C and N x C to N x T x C."""
        shift, scale, gate, feed_shift, feed_scale, feed_gate = self.modulation(condition)[:, None].chunk(6, 2)
        x = torch.addcmul(x, gate, self.attention(modulated(self.norm(x), shift, scale)))
        return torch.addcmul(x, feed_gate, self.feed(modulated(self.norm(x), feed_shift, feed_scale)))


class DiTBlock2d(nn.Module):
    """A DiT block whose tokens are the pixels of a map, so that it stands beside blocks of convolutions.

    Pixels of a channels-last map are tokens as they lie; those of a contiguous one are transposed on the way in.

    Args:
        channels: C.
        heads: a divisor of C.

    Raises:
        ValueError: heads do not divide the channels.

    Shapes: N x C x H x W and a condition N x C to N x C x H x W.
    Source: as :class:`DiTBlock`; the map is ours.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.block = DiTBlock(channels, heads)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """N x C x H x W and N x C to N x C x H x W."""
        y: Tensor = self.block(x.flatten(2).transpose(1, 2), condition)
        return y.transpose(1, 2).reshape(x.shape)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """The tensor x (1 + scale) + shift."""
    return torch.addcmul(shift, x, 1 + scale)
