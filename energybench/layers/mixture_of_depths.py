"""Mixture-of-Depths for CNNs: a small block works on the few channels that a selector finds most relevant."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from energybench.layers.bottleneck import Bottleneck, conv_norm_relu
from energybench.layers.group_conv import GroupConv2d

Choice = Literal["top-k", "random"]
Second = Literal["MoD", "random", "standard", "none"]


class MoDBlock2d(nn.Module):
    """Processes k = C / ``reduction`` channels of C and adds the result to the first k; the others pass.

    A selector (mean over the map, C to C / 16, ReLU, back to C, sigmoid) scores the channels of each sample. Its k best
    are gathered in the order of their scores, go through a bottleneck of width k, are multiplied by their scores and
    added to the *first* k channels, so that shapes do not depend on the data; which channels are read does.

    Without gradients the sum is written into the input, which must not be needed again.

    Args:
        channels: C.
        reduction: c, how many channels there are to one that is processed.
        choice: ``top-k`` as above; ``random``: k channels drawn once, without a selector (a baseline; ours).

    Raises:
        ValueError: fewer than 4 channels would be processed, or there is no such choice.

    Shapes: N x C x H x W to the same; selector C/16 x C and C x C/16 with biases, block of width k, k/4, k.
    Source: the paper "CNN Mixture-of-Depths" for selecting channels and adding to the first k; the selector's width,
        c = 64 and the block's inner width are our reading of a digest of it.
    """

    def __init__(self, channels: int, *, reduction: int = 64, choice: Choice = "top-k") -> None:
        super().__init__()
        if choice not in ("top-k", "random"):
            raise ValueError(f"choice={choice!r} is neither top-k nor random")
        self.kept = channels // reduction
        if self.kept < 4:
            raise ValueError(f"{channels} channels / reduction {reduction} leave {self.kept} to process; 4 at least")
        inner = self.kept // 4
        self.selector: nn.Module | None = None
        if choice == "top-k":
            narrow = channels // 16
            self.selector = nn.Sequential(
                nn.Linear(channels, narrow), nn.ReLU(inplace=True), nn.Linear(narrow, channels), nn.Sigmoid()
            )
        else:
            self.register_buffer("drawn", torch.randperm(channels)[: self.kept])
        self.block = nn.Sequential(
            conv_norm_relu(nn.Conv2d(self.kept, inner, 1, bias=False)),
            conv_norm_relu(GroupConv2d(inner, 3, groups=1)),
            conv_norm_relu(nn.Conv2d(inner, self.kept, 1, bias=False)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same; without gradients the same memory."""
        if self.selector is None:
            change = self.block(x.index_select(1, self.get_buffer("drawn")))
        else:
            scores, best = self.selector(x.mean((2, 3))).topk(self.kept, dim=1)
            samples = torch.arange(x.shape[0], device=x.device)[:, None]
            change = self.block(x[samples, best]) * scores[:, :, None, None]
        if torch.is_grad_enabled():
            return torch.cat([x[:, : self.kept] + change, x[:, self.kept :]], dim=1)
        x[:, : self.kept] += change
        return x


class BottleneckPair2d(nn.Module):
    """A standard bottleneck and what follows it: the unit that a network with Mixture-of-Depths repeats.

    Args:
        channels: C.
        second: ``MoD``; ``random``, the same with channels drawn once; ``standard``, another bottleneck;
            ``none``, nothing.
        reduction: c of the MoD block.

    Raises:
        ValueError: there is no such second block.

    Shapes: N x C x H x W to the same.
    Source: He et al., ResNet (arXiv 1512.03385), figure 5, and "CNN Mixture-of-Depths" for alternating the two.
    """

    def __init__(self, channels: int, *, second: Second = "MoD", reduction: int = 64) -> None:
        super().__init__()
        self.first = standard_block(channels, channels)
        match second:
            case "MoD":
                self.second: nn.Module = MoDBlock2d(channels, reduction=reduction)
            case "random":
                self.second = MoDBlock2d(channels, reduction=reduction, choice="random")
            case "standard":
                self.second = standard_block(channels, channels)
            case "none":
                self.second = nn.Identity()
            case _:
                raise ValueError(f"second={second!r} is none of MoD, random, standard, none")

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.second(self.first(x))
        return y


def standard_block(in_channels: int, out_channels: int, *, stride: int = 1) -> Bottleneck:
    """ResNet's bottleneck with a dense 3x3 layer of a quarter of the output channels."""
    width = out_channels // 4
    spatial = conv_norm_relu(GroupConv2d(width, 3, groups=1, stride=stride))
    return Bottleneck(in_channels, out_channels, spatial, width=width, stride=stride)
