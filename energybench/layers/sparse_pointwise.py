"""Pointwise (1x1) convolutions with most weights zero: dense with zeros, CSR, BSR, gathered blocks, or narrower.

All read channel-major activations, C x (N H W), and write K x (N H W), so that a weight scales a contiguous row and one
such layer feeds the next; ``encode_input`` makes them so before anything is measured.

Source: Elsen, Dukhan, Gale, Simonyan, Fast Sparse ConvNets (arXiv 1911.09723).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from energybench.cost import OperatorCost
from energybench.cost.kernels import dtype_name, kernel_cost, operand
from energybench.errors import UnsupportedError
from energybench.layers.pruning import compressed_rows, kept_columns, kept_count

Execution = Literal["masked", "csr", "bsr", "gather"]

warnings.filterwarnings("ignore", "Sparse (CSR|BSR) tensor support is in beta|Sparse invariant checks are implicitly")


@torch.library.custom_op("energybench::sparse_matmul", mutates_args=())
def sparse_matmul(starts: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """A sparse matrix (CSR where ``values`` has one axis, BSR where it has three) times a dense C x P matrix."""
    block = values.shape[-1] if values.dim() == 3 else 1
    shape = ((starts.numel() - 1) * block, x.shape[0])
    compressed = torch.sparse_csr_tensor if block == 1 else torch.sparse_bsr_tensor
    return torch.mm(compressed(starts, columns, values, shape, check_invariants=False), x)


@sparse_matmul.register_fake
def _(starts: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:  # noqa: ARG001  (the operator's)
    block = values.shape[-1] if values.dim() == 3 else 1
    return x.new_empty((starts.numel() - 1) * block, x.shape[1])


@kernel_cost("energybench::sparse_matmul")
def _sparse_matmul_cost(arguments: Sequence[Any], outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """One MAC a stored value and column of x; stored values, indices, x and the output each moved once."""
    values, x = arguments[2:]
    found = OperatorCost(
        name="csr_matmul" if values.dim() == 1 else "bsr_matmul",
        family="sparse",
        macs=values.numel() * x.shape[1],
        read_bytes=sum(operand(tensor).bytes for tensor in arguments),
        write_bytes=operand(outputs[0]).bytes,
        dtype=dtype_name(x.dtype),
        out_channels=outputs[0].shape[0],
    )
    return (found,)


class SparsePointwiseConv2d(nn.Module):
    """A pruned 1x1 convolution, by magnitude to an exact share of zeros, run in one of four ways.

    Input N x C x H x W as the suite gives it, handed over channel-major, C x (N H W); output K x (N H W). Inference
    only: packed weights have no gradient.

    Args:
        in_channels: input channels C.
        out_channels: output channels K.
        sparsity: share of zeros s, in [0, 1).
        execution: ``masked``: a dense product with the zeros in it, the control that can gain nothing; ``csr``:
            compressed sparse rows; ``bsr``: block x block squares; ``gather``: blocks of ``block`` output channels
            share their input channels, whose rows are gathered for a small dense product a block.
        block: side of a square, or output channels of a block; 1 where ``masked`` or ``csr``.

    Raises:
        ValueError: the block does not fit the execution or the channels, or the sparsity is not in [0, 1).

    Source: Elsen et al., Fast Sparse ConvNets (arXiv 1911.09723), sections 3 and 4; square blocks and equal numbers
    of kept channels in every gathered block are ours.
    """

    starts: Tensor
    columns: Tensor
    values: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, sparsity: float, execution: Execution = "csr", block: int = 1
    ) -> None:
        super().__init__()
        if execution not in ("masked", "csr", "bsr", "gather"):
            raise ValueError(f"execution={execution!r} is none of masked, csr, bsr, gather")
        if (execution in ("masked", "csr")) != (block == 1):
            raise ValueError(f"block={block}: masked and csr have single weights (1), bsr and gather blocks")
        if out_channels % block or (execution == "bsr" and in_channels % block):
            raise ValueError(f"block={block} does not divide the channels {in_channels} -> {out_channels}")
        kept_count(1, sparsity)
        self.sparsity, self.execution, self.block = sparsity, execution, block
        self.stored_weights = 0
        # The stored shapes of all but a masked matrix tell what is computed; which values are zero, they do not.
        self.value_pattern = f"sparsity {sparsity:g}" if execution == "masked" else ""
        self.weight = nn.Parameter(nn.Conv2d(in_channels, out_channels, 1, bias=False).weight.detach().flatten(1))

    def pack_weights(self) -> None:
        """Prune, and keep only what the execution reads.

        Raises:
            UnsupportedError: PyTorch has no such product on this device.
        """
        weight = self.weight.detach()
        if self.execution in ("csr", "bsr"):
            _require_sparse_products(weight, self.block)
        del self.weight
        if self.execution == "gather":
            columns, values = kept_columns(weight, self.sparsity, self.block)
            self.register_buffer("columns", columns.flatten())
            self.stored_weights = values.numel()
        elif self.execution == "masked":
            flat = weight.flatten()
            kept = flat.abs().topk(kept_count(flat.numel(), self.sparsity)).indices
            values = torch.zeros_like(flat).scatter(0, kept, flat[kept]).reshape(weight.shape)
            self.stored_weights = values.numel()
        else:
            starts, columns, values = compressed_rows(weight, self.sparsity, self.block)
            self.register_buffer("starts", starts)
            self.register_buffer("columns", columns)
            self.stored_weights = values.numel()
        self.register_buffer("values", values)

    def encode_input(self, x: Tensor) -> Tensor:
        """Channel-major activations."""
        return channel_major(x)

    def forward(self, x: Tensor) -> Tensor:
        """The product with channel-major activations, C x P to K x P."""
        if self.execution == "masked":
            return torch.mm(self.values, x)
        if self.execution == "gather":
            blocks, _, kept = self.values.shape
            return torch.bmm(self.values, x.index_select(0, self.columns).view(blocks, kept, -1)).flatten(0, 1)
        product: Tensor = sparse_matmul(self.starts, self.columns, self.values, x)
        return product


class NarrowPointwiseConv2d(nn.Module):
    """A dense 1x1 convolution with the MACs of a sparse one: both channel counts cut by the square root of 1 - s.

    What pruning competes with: a narrower network. Input and output as ``SparsePointwiseConv2d``, of fewer channels,
    rounded to multiples of 8 as dense kernels want them.

    Args:
        in_channels: input channels C of the full layer.
        out_channels: output channels K of the full layer.
        sparsity: share of zeros s of the sparse layer it stands beside, in [0, 1).

    Source: Elsen et al., Fast Sparse ConvNets (arXiv 1911.09723), section 4, compare with narrower dense networks;
    cutting each layer by itself is ours.
    """

    def __init__(self, in_channels: int, out_channels: int, sparsity: float) -> None:
        super().__init__()
        kept_count(1, sparsity)
        C, K = (max(8, 8 * round(n * math.sqrt(1 - sparsity) / 8)) for n in (in_channels, out_channels))
        self.weight = nn.Parameter(nn.Conv2d(C, K, 1, bias=False).weight.detach().flatten(1))

    def encode_input(self, x: Tensor) -> Tensor:
        """The channels that the narrower network has, channel-major."""
        return channel_major(x[:, : self.weight.shape[1]])

    def forward(self, x: Tensor) -> Tensor:
        """The product with channel-major activations."""
        return torch.mm(self.weight, x)


class _OnMaps(nn.Module):
    """A sparse layer inside a network of N x C x H x W maps.

    At batch 1 maps are channel-major as they stand; larger batches are reordered on both sides, and pay for it.
    """

    def __init__(self, layer: SparsePointwiseConv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        N, _, H, W = x.shape
        y: Tensor = self.layer(channel_major(x))
        maps: Tensor = y.unflatten(1, (N, H, W))
        return maps.transpose(0, 1).contiguous()


def pointwise(in_channels: int, out_channels: int, sparsity: float | None, execution: Execution) -> nn.Module:
    """A 1x1 convolution of maps without bias: dense, or pruned where ``sparsity`` is given."""
    if sparsity is None:
        return nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return _OnMaps(SparsePointwiseConv2d(in_channels, out_channels, sparsity, execution))


def channel_major(x: Tensor) -> Tensor:
    """N x C x H x W as a contiguous C x (N H W) matrix."""
    return x.transpose(0, 1).flatten(1).contiguous()


def _require_sparse_products(weight: Tensor, block: int) -> None:
    if weight.device.type == "cpu" and weight.dtype not in (torch.float32, torch.float64):
        kind = dtype_name(weight.dtype)
        raise UnsupportedError(f"PyTorch multiplies sparse matrices on the CPU in float32 and float64, not in {kind}")
    if weight.device.type == "cuda" and block not in (1, 16, 32, 64, 128) and weight.dtype.itemsize == 2:
        raise UnsupportedError(f"PyTorch multiplies half-precision BSR on CUDA in blocks of 16 and more, not {block}")
