"""LS convolution: a large-kernel branch looks around and predicts, per pixel, the small kernel that aggregates."""

from __future__ import annotations

from torch import Tensor, nn

from energybench.layers.small_kernel_aggregation import EXECUTIONS, Execution, small_kernel_aggregation

SHARED = 8
"""Channels that share a filter."""


class LargeKernelPerception2d(nn.Module):
    """Predicts 3x3 filters for every pixel from its 7x7 surroundings.

    Pointwise C to C/2, depthwise 7x7, pointwise, and pointwise to 9 C/8, group-normalised filter by filter.

    Args:
        channels: C, a multiple of 8.

    Shapes: N x C x H x W to N x C/8 x 9 x H x W.
    Source: Wang et al., LSNet (arXiv 2503.23135), section 3.2, and jameslahm/lsnet at cbe737c.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, filters = channels // 2, channels // SHARED
        self.reduce = conv_norm(channels, half)
        self.context = conv_norm(half, half, 7, groups=half)
        self.mix = conv_norm(half, half)
        self.predict = nn.Conv2d(half, 9 * filters, 1)
        self.norm = nn.GroupNorm(filters, 9 * filters)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x C/8 x 9 x H x W."""
        y = self.act(self.mix(self.context(self.act(self.reduce(x)))))
        weights: Tensor = self.norm(self.predict(y)).unflatten(1, (-1, 9))
        return weights


class LSConv2d(nn.Module):
    """See large, focus small: filters predicted from 7x7 surroundings weigh the 3x3 neighbourhood; norm, plus input.

    Args:
        channels: C, a multiple of 8.
        execution: of the aggregation: ``unfold``, ``taps`` or ``triton`` (see ``small_kernel_aggregation``).

    Raises:
        ValueError: 8 does not divide the channels, or there is no such execution.

    Shapes: N x C x H x W to the same.
    Source: Wang et al., LSNet (arXiv 2503.23135), section 3.2, and jameslahm/lsnet at cbe737c.
    """

    def __init__(self, channels: int, *, execution: Execution = "taps") -> None:
        super().__init__()
        if channels % SHARED:
            raise ValueError(f"channels={channels} is no multiple of {SHARED}, the channels that share a filter")
        if execution not in EXECUTIONS:
            raise ValueError(f"execution={execution!r} is none of {', '.join(EXECUTIONS)}")
        self.execution: Execution = execution
        self.perception = LargeKernelPerception2d(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.norm(small_kernel_aggregation(x, self.perception(x), self.execution)) + x
        return y


def conv_norm(C: int, K: int, side: int = 1, *, groups: int = 1, stride: int = 1) -> nn.Sequential:
    """A "same" convolution without bias and its batch norm."""
    conv = nn.Conv2d(C, K, side, stride=stride, padding=side // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(K))
