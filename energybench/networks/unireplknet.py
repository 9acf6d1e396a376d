"""UniRepLKNet: 13x13 depthwise convolutions in most blocks, as deployed or as trained."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from energybench.layers.layer_norm import LayerNorm2d
from energybench.layers.unireplknet import UniRepLKNetBlock2d


@dataclass(frozen=True)
class Size:
    """Blocks and channels of each stage, and the kernels that the third stage repeats."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    third_stage: tuple[int, ...]


SIZES = {
    "A": Size((2, 2, 6, 2), (40, 80, 160, 320), (13,)),
    "T": Size((3, 3, 18, 3), (80, 160, 320, 640), (13, 3)),
    "S": Size((3, 3, 27, 3), (96, 192, 384, 768), (13, 3, 3)),
}
"""Three of the published sizes."""


class UniRepLKNet(nn.Module):
    """UniRepLKNet for N x 3 x 224 x 224 images; output N x ``classes``.

    Kernels are 3 in the first stage, 13 in the second and fourth, and alternate in the third.

    Args:
        size: ``A``, ``T`` or ``S``.
        deployed: the merged form for inference, else the training form with its branches and batch norms.
        classes: outputs of the classifier.

    Raises:
        ValueError: there is no such size.

    Source: Ding et al., UniRepLKNet (arXiv 2311.15599), table 1, and AILab-CVC/UniRepLKNet at b5677d8.
    """

    def __init__(self, size: str = "T", *, deployed: bool = True, classes: int = 1000) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size={size!r} is none of {', '.join(SIZES)}")
        shape = SIZES[size]
        widths = shape.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0] // 2, 3, stride=2, padding=1),
            LayerNorm2d(widths[0] // 2),
            nn.GELU(),
            nn.Conv2d(widths[0] // 2, widths[0], 3, stride=2, padding=1),
            LayerNorm2d(widths[0]),
        )
        steps = (nn.Sequential(nn.Conv2d(C, K, 3, stride=2, padding=1), LayerNorm2d(K)) for C, K in pairwise(widths))
        self.downsamples = nn.ModuleList([nn.Identity(), *steps])
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(UniRepLKNetBlock2d(C, kernels[block % len(kernels)], deployed=deployed) for block in range(depth))
            )
            for C, depth, kernels in zip(widths, shape.depths, ((3,), (13,), shape.third_stage, (13,)), strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.stem(x)
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            x = stage(downsample(x))
        scores: Tensor = self.classifier(self.norm(x.mean((2, 3))))
        return scores
