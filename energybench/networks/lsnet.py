"""LSNet: LS convolutions, re-parametrisable depthwise layers, and attention in the last stage."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import torch
from torch import Tensor, nn

from energybench.layers.ls_conv import LSConv2d, conv_norm
from energybench.layers.small_kernel_aggregation import Execution
from energybench.layers.squeeze_excite import SqueezeExcite2d

KEY_SIZE = 16
SIDES = (28, 14, 7, 4)
"""Of the maps of each stage, for images of 224."""


@dataclass(frozen=True)
class Size:
    """Channels and blocks of each stage, and the heads of the last stage's attention."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: int = 4


SIZES = {
    "T": Size((64, 128, 256, 384), (0, 2, 8, 10)),
    "S": Size((96, 192, 320, 448), (1, 2, 8, 10)),
    "B": Size((128, 256, 384, 512), (4, 6, 8, 10)),
}
"""The published sizes."""


class LSNet(nn.Module):
    """LSNet for N x 3 x 224 x 224 images (its attention knows this size only); output N x ``classes``.

    Args:
        size: ``T``, ``S`` or ``B``.
        execution: of the LS convolutions' aggregation: ``unfold``, ``taps`` or ``triton``.
        classes: outputs of the classifier.

    Raises:
        ValueError: there is no such size or execution.

    Source: Wang et al., LSNet (arXiv 2503.23135), section 3.3 and table 1, and jameslahm/lsnet at cbe737c.
    """

    def __init__(self, size: str = "T", *, execution: Execution = "taps", classes: int = 1000) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size={size!r} is none of {', '.join(SIZES)}")
        shape = SIZES[size]
        widths = shape.widths
        stem: list[nn.Module] = []
        for C, K in pairwise((3, widths[0] // 4, widths[0] // 2, widths[0])):
            stem += [conv_norm(C, K, 3, stride=2), nn.ReLU()]
        self.stem = nn.Sequential(*stem[:-1])
        stages: list[nn.Module] = []
        for stage, (C, depth) in enumerate(zip(widths, shape.depths, strict=True)):
            if stage:
                before = widths[stage - 1]
                stages.append(
                    nn.Sequential(conv_norm(before, before, 3, groups=before, stride=2), conv_norm(before, C))
                )
            heads = shape.heads if stage == len(widths) - 1 else 0
            stages += [_block(C, block, heads=heads, side=SIDES[stage], execution=execution) for block in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = nn.BatchNorm1d(widths[-1])
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.stages(self.stem(x)))
        scores: Tensor = self.classifier(self.norm(x.flatten(1)))
        return scores


def _block(C: int, index: int, *, heads: int, side: int, execution: Execution) -> nn.Sequential:
    """Even blocks mix by a depthwise layer and a channel gate, odd ones by LS convolution or, with heads, attention."""
    if index % 2 == 0:
        mixer: nn.Module = nn.Sequential(RepVGGDW(C), SqueezeExcite2d(C, max(8, (C // 4 + 4) // 8 * 8)))
    elif heads:
        mixer = Attention(C, heads, side)
    else:
        mixer = LSConv2d(C, execution=execution)
    return nn.Sequential(mixer, FeedForward(C))


class RepVGGDW(nn.Module):
    """Depthwise 3x3 plus depthwise 1x1 plus input, the convolutions with batch norms: the training form.

    Shapes: N x C x H x W to the same.
    Source: Wang et al., RepViT (arXiv 2307.09283), section 3.3, as LSNet uses it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.square = conv_norm(channels, channels, 3, groups=channels)
        self.point = conv_norm(channels, channels, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.square(x) + self.point(x) + x
        return y


class FeedForward(nn.Module):
    """Pointwise C to 2 C, ReLU, pointwise back, both with batch norms, plus input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv_norm(channels, 2 * channels), nn.ReLU(), conv_norm(2 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.layers(x) + x
        return y


class Attention(nn.Module):
    """Attention over all pixels with a learned bias for every distance, depthwise 3x3 on the queries, plus input.

    Args:
        channels: C; values have C / heads features, keys 16.
        heads: of the attention.
        side: of the square maps.

    Shapes: N x C x side x side to the same.
    Source: Wang et al., LSNet (arXiv 2503.23135), section 3.3; biases as in LeViT (arXiv 2104.01136), section 4.2.
    """

    distances: Tensor

    def __init__(self, channels: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        keys = heads * KEY_SIZE
        self.split = [keys, keys, channels]
        self.project_in = conv_norm(channels, sum(self.split))
        self.local = conv_norm(keys, keys, 3, groups=keys)
        self.project_out = nn.Sequential(nn.ReLU(), conv_norm(channels, channels))
        # In the order in which the first pixel meets them, |rows| and |columns| apart name a distance: side^2 in all.
        pixels = list(product(range(side), repeat=2))
        apart = [[abs(i - u) * side + abs(j - v) for u, v in pixels] for i, j in pixels]
        self.biases = nn.Parameter(torch.zeros(heads, side * side))
        self.register_buffer("distances", torch.tensor(apart), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x side x side to the same."""
        q, k, v = self.project_in(x).split(self.split, dim=1)
        q, k, v = (part.flatten(2).unflatten(1, (self.heads, -1)) for part in (self.local(q), k, v))
        scores = q.transpose(-2, -1) @ k * KEY_SIZE**-0.5 + self.biases[:, self.distances]
        y = v @ scores.softmax(-1).transpose(-2, -1)
        out: Tensor = self.project_out(y.reshape(x.shape)) + x
        return out
