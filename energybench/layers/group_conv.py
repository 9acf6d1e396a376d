"""Group convolution, by number of groups (FgGC) or by group size (E2GC)."""

from __future__ import annotations

from torch import nn


class GroupConv2d(nn.Conv2d):
    """Square "same" group convolution, told either its number of groups g or its group size G.

    Input N x C x H x W, output N x K x ceil(H / stride) x ceil(W / stride); the weight is K x C/g x kernel x kernel
    with g = C / G. G = 1 is a depthwise convolution, g = 1 a dense one. It is an ``nn.Conv2d`` and runs the same
    kernels.

    Args:
        channels: input and output channels, where they are equal.
        in_channels: input channels C, where they are not.
        out_channels: output channels K, where they are not.
        kernel_size: side of the filter, odd (so that "same" padding is symmetric).
        groups: number of groups g, the same in every layer of an FgGC network.
        group_size: input channels per group G, the same in every layer of an E2GC network.
        stride: step of the filter.
        bias: add a bias per output channel.

    Raises:
        ValueError: not exactly one of ``groups`` and ``group_size``, channels given twice or by halves, an even
            filter, or groups that do not divide the channels.

    Source: Jha et al., E2GC (arXiv 2006.15100), abstract, for g and G; that G counts *input* channels is our reading.
    """

    def __init__(
        self,
        channels: int | None = None,
        kernel_size: int = 3,
        *,
        in_channels: int | None = None,
        out_channels: int | None = None,
        groups: int | None = None,
        group_size: int | None = None,
        stride: int = 1,
        bias: bool = False,
    ) -> None:
        if channels is not None and (in_channels is not None or out_channels is not None):
            raise ValueError("give channels, or in_channels and out_channels, not both")
        C, K = (channels, channels) if channels is not None else (in_channels, out_channels)
        if C is None or K is None:
            raise ValueError("give channels, or both in_channels and out_channels")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} is even; same padding needs an odd side")
        g = number_of_groups(C, groups=groups, group_size=group_size)
        if K % g:
            raise ValueError(f"{g} groups do not divide the {K} output channels")
        super().__init__(C, K, kernel_size, stride=stride, padding=kernel_size // 2, groups=g, bias=bias)


def number_of_groups(channels: int, *, groups: int | None, group_size: int | None) -> int:
    """The number of groups g of a layer with ``channels`` input channels, from g itself or from G = channels / g.

    Raises:
        ValueError: not exactly one of the two is given, or it does not divide the channels.
    """
    if (groups is None) == (group_size is None):
        raise ValueError("give exactly one of groups (fixed number, FgGC) and group_size (fixed size, E2GC)")
    name, value = ("groups", groups) if groups is not None else ("group_size", group_size)
    if value is None or value < 1 or channels % value:
        raise ValueError(f"{name}={value} does not divide {channels} channels")
    return value if groups is not None else channels // value
