"""2:4 semi-structured pointwise convolutions: two of every four weights along the input channels are zero.

GPUs from Ampere on skip those zeros in their tensor cores. PyTorch stores half the weights and two bits of metadata a
kept weight, and multiplies with cuSPARSELt where it was built with it, else with CUTLASS; nothing of it runs elsewhere.

Source: Mishra et al., Accelerating Sparse Deep Neural Networks (arXiv 2104.08378); torch.sparse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from energybench.cost import OperatorCost
from energybench.cost.kernels import dtype_name, kernel_cost, operand
from energybench.errors import UnsupportedError
from energybench.layers.pruning import two_of_four
from energybench.layers.sparse_pointwise import channel_major

PADDED_TO = 8
"""Columns of the dense operand come in multiples of this (both backends, 16-bit formats)."""


@torch.library.custom_op("energybench::semi_structured_matmul", mutates_args=())
def semi_structured_matmul(packed: Tensor, metadata: Tensor | None, x: Tensor, rows: int) -> Tensor:  # noqa: ARG001
    """A 2:4 sparse matrix of ``rows`` rows times a dense C x P matrix; CUTLASS where metadata are apart."""
    if metadata is None:
        return torch._cslt_sparse_mm(packed, x)
    return torch._sparse_semi_structured_mm(packed, metadata, x)


@semi_structured_matmul.register_fake
def _(packed: Tensor, metadata: Tensor | None, x: Tensor, rows: int) -> Tensor:  # noqa: ARG001  (the operator's)
    return x.new_empty(rows, x.shape[1])


@kernel_cost("energybench::semi_structured_matmul")
def _cost(arguments: Sequence[Any], outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """Half the MACs of the dense product: a stored weight is multiplied, a zero is not."""
    packed, metadata, x, rows = arguments
    found = OperatorCost(
        name="semi_structured_matmul",
        family="gemm",
        macs=rows * x.shape[0] // 2 * x.shape[1],
        read_bytes=sum(operand(tensor).bytes for tensor in (packed, metadata, x) if tensor is not None),
        write_bytes=operand(outputs[0]).bytes,
        dtype=dtype_name(x.dtype),
        out_channels=rows,
    )
    return (found,)


class SemiStructuredPointwiseConv2d(nn.Module):
    """A 1x1 convolution whose weight keeps the two largest of every four input channels.

    Input N x C x H x W as the suite gives it, handed over channel-major, C x (N H W), with columns of zeros up to a
    multiple of 8; output K x as many columns. Inference only.

    Args:
        in_channels: input channels C, a multiple of 16 (of 64 without cuSPARSELt).
        out_channels: output channels K, a multiple of 16 (of 32 without cuSPARSELt).

    Raises:
        ValueError: the channels are no multiples of 16.

    Source: Mishra et al. (arXiv 2104.08378), section 3; shape rules of torch.sparse.SparseSemiStructuredTensor.
    """

    value_pattern = ""
    packed: Tensor
    metadata: Tensor | None

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if in_channels % 16 or out_channels % 16:
            raise ValueError(f"2:4 sparse matrices come in multiples of 16, not {out_channels} x {in_channels}")
        self.out_channels = out_channels
        self.stored_weights = 0
        self.weight = nn.Parameter(nn.Conv2d(in_channels, out_channels, 1, bias=False).weight.detach().flatten(1))

    def pack_weights(self) -> None:
        """Prune and compress; on meta tensors in CUTLASS's layout, which has as many bytes as cuSPARSELt's.

        Raises:
            UnsupportedError: this device has no sparse tensor cores, or not for this format or shape.
        """
        pruned = two_of_four(self.weight.detach())
        K, C = pruned.shape
        self.stored_weights = K * C // 2
        packed: Tensor | None
        metadata: Tensor | None
        if pruned.device.type == "meta":
            packed = pruned.new_empty(K, C // 2)
            metadata = pruned.new_empty(K, C // 16, dtype=torch.int16)
        else:
            _require_sparse_tensor_cores(pruned)
            try:
                compressed = to_sparse_semi_structured(pruned)
            except (RuntimeError, ValueError) as error:
                raise UnsupportedError(f"PyTorch cannot compress a {K} x {C} weight to 2:4 here: {error}") from error
            packed = compressed.packed
            metadata = compressed.meta  # None with cuSPARSELt, which keeps both in one tensor
        del self.weight
        self.register_buffer("packed", packed)
        self.register_buffer("metadata", metadata)

    def encode_input(self, x: Tensor) -> Tensor:
        """Channel-major activations, their columns padded with zeros to a multiple of 8."""
        columns = channel_major(x)
        return nn.functional.pad(columns, (0, -columns.shape[1] % PADDED_TO))

    def forward(self, x: Tensor) -> Tensor:
        """The product with channel-major activations, C x P to K x P."""
        product: Tensor = semi_structured_matmul(self.packed, self.metadata, x, self.out_channels)
        return product


def _require_sparse_tensor_cores(weight: Tensor) -> None:
    if weight.device.type != "cuda":
        raise UnsupportedError("2:4 sparsity needs the sparse tensor cores of an NVIDIA GPU from Ampere on")
    if torch.cuda.get_device_capability(weight.device) < (8, 0):
        raise UnsupportedError("2:4 sparsity needs compute capability 8.0 or newer (Ampere)")
    if weight.dtype not in (torch.float16, torch.bfloat16):
        raise UnsupportedError(f"2:4 is run here in float16 and bfloat16, not in {dtype_name(weight.dtype)}")
