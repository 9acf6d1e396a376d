"""Residual blocks in a row between two others, so that each finds the caches as it would inside a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from energybench.layers.block_fusion import BlockFusedConvFirst2d, BlockFusedMBConv2d
from energybench.layers.residual_blocks import ConvFirst2d, ConvNeXtBlock2d, FusedMBConv2d, MBConv2d, MLPBlock2d


class BlocksInSitu2d(nn.Module):
    """Equal blocks in a row between two MLP blocks; all batch norms are folded, as in a deployed network.

    Args:
        block: ``ConvFirst``, ``MBConv``, ``FusedMBConv`` or ``ConvNeXt``.
        channels: C.
        expansion: E, of all blocks.
        group_size: of the spatial convolutions of ``ConvFirst`` (8 if not given) and ``MBConv`` (1).
        block_fusion: each block is one hand-written kernel (``ConvFirst`` and ``MBConv``, for inference).
        depth: number of blocks between the two.

    Raises:
        ValueError: there is no such block, it has no groups to size, or it has no such kernel.

    Shapes: N x C x H x W to the same.
    Source: the author's benchmark, scripts of github.com/andravin/spio; its global pooling at the end is left out, and
        the expansion of the two MLP blocks is that of the blocks between them (ours).
    """

    def __init__(
        self,
        block: str,
        channels: int,
        *,
        expansion: int = 4,
        group_size: int | None = None,
        block_fusion: bool = False,
        depth: int = 4,
    ) -> None:
        super().__init__()
        if block not in _BLOCKS:
            raise ValueError(f"block={block!r} is none of {', '.join(_BLOCKS)}")
        if block not in _FUSED and (group_size is not None or block_fusion):
            what = "a kernel for the whole block" if block_fusion else "a group_size"
            raise ValueError(f"{block} does not have {what}; {' and '.join(_FUSED)} do")
        groups = {"group_size": group_size} if group_size is not None else {}
        norms = {} if block_fusion or block == "ConvNeXt" else {"folded": True}
        make = (_FUSED if block_fusion else _BLOCKS)[block]
        self.before = MLPBlock2d(channels, expansion=expansion, folded=True)
        self.blocks = nn.Sequential(*(make(channels, expansion=expansion, **groups, **norms) for _ in range(depth)))
        self.after = MLPBlock2d(channels, expansion=expansion, folded=True)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y: Tensor = self.after(self.blocks(self.before(x)))
        return y


_BLOCKS: Mapping[str, Callable[..., nn.Module]] = {
    "ConvFirst": ConvFirst2d,
    "MBConv": MBConv2d,
    "FusedMBConv": FusedMBConv2d,
    "ConvNeXt": ConvNeXtBlock2d,
}
_FUSED: Mapping[str, Callable[..., nn.Module]] = {"ConvFirst": BlockFusedConvFirst2d, "MBConv": BlockFusedMBConv2d}
