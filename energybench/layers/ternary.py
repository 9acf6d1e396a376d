"""Pointwise convolutions with ternary weights on int8 activations, as PROM has them.

Source: PROM: Prioritize Reduction of Multiplications Over Lower Bit-Widths (arXiv 2505.03254).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from energybench.layers.quantization import NORMAL_RANGE, affine, require_int8, ternary_weight

Execution = Literal["int8", "packed", "add"]


class TernaryPointwiseConv2d(nn.Module):
    """A 1x1 convolution with weights in {-1, 0, 1} and int8 activations, absmax-scaled for the whole tensor.

    The paper's point is that such a layer needs no multiplication. No GPU has an instruction that adds so, so all
    three executions are integer matrix products; they agree to the bit.

    Input and output as ``Int8Conv2d`` inside an integer network: signed bytes in rows, (N H W) x C to (N H W) x K.
    Inference only.

    Args:
        in_channels: input channels C, a multiple of 4.
        out_channels: output channels K.
        execution: ``int8``: a weight a byte; ``packed``: four weights a byte, unpacked on the way; ``add``: the sum
            over weights of 1 less the sum over weights of -1, as two products with masks.

    Raises:
        ValueError: another execution, or channels that do not fill bytes.

    Source: PROM (arXiv 2505.03254); see ``ternary_weight`` for what is our reading. Static ranges as ``Int8Conv2d``,
    but symmetric: zero is zero.
    """

    value_pattern = ""
    q: Tensor
    plus: Tensor
    minus: Tensor
    scale: Tensor

    def __init__(self, in_channels: int, out_channels: int, execution: Execution = "int8") -> None:
        super().__init__()
        if execution not in ("int8", "packed", "add") or in_channels % 4:
            raise ValueError(f"execution={execution!r} is one of int8, packed, add; channels come in multiples of 4")
        self.execution = execution
        self.affine = affine(NORMAL_RANGE)
        self.stored_weights = 0
        self.weight = nn.Parameter(nn.Conv2d(in_channels, out_channels, 1, bias=False).weight.detach().flatten(1))

    def pack_weights(self) -> None:
        """Round to -1, 0 and 1 and store them as the execution reads them.

        Raises:
            UnsupportedError: PyTorch has no integer product on this device.
        """
        weight = self.weight.detach()
        require_int8(weight)
        ternary, scale = ternary_weight(weight)
        self.stored_weights = weight.numel()
        del self.weight
        if self.execution == "packed":
            self.register_buffer("q", packed_ternary(ternary))
        elif self.execution == "add":
            self.register_buffer("plus", (ternary > 0).to(torch.int8))
            self.register_buffer("minus", (ternary < 0).to(torch.int8))
        else:
            self.register_buffer("q", ternary)
        # Input and output have the same scale, so a sum times the weight's scale is in steps of it; zero is zero.
        self.register_buffer("scale", scale)

    def encode_input(self, x: Tensor) -> Tensor:
        """Signed bytes, channels last, in rows."""
        return self.affine.quantized(x).permute(0, 2, 3, 1).flatten(0, 2).contiguous()

    def accumulated(self, q: Tensor) -> Tensor:
        """The 32-bit sums, (N H W) x K; nothing is rounded."""
        if self.execution == "add":
            return torch._int_mm(q, self.plus.t()) - torch._int_mm(q, self.minus.t())
        ternary: Tensor = unpacked_ternary(self.q) if self.execution == "packed" else self.q
        sums: Tensor = torch._int_mm(q, ternary.t())
        return sums

    def forward(self, x: Tensor) -> Tensor:
        """Bytes to bytes."""
        return self.affine.rounded(self.accumulated(x) * self.scale)


def packed_ternary(ternary: Tensor) -> Tensor:
    """Four neighbours of a row in a byte, two bits each, the first one lowest: K x C to K x C / 4."""
    fields = (ternary + 1).to(torch.uint8).unflatten(1, (-1, 4))
    packed: Tensor = fields[..., 0] | fields[..., 1] << 2 | fields[..., 2] << 4 | fields[..., 3] << 6
    return packed


def unpacked_ternary(packed: Tensor) -> Tensor:
    """The bytes -1, 0 and 1 that ``packed_ternary`` packed."""
    fields = torch.stack((packed & 3, packed >> 2 & 3, packed >> 4 & 3, packed >> 6), dim=2)
    return fields.flatten(1).to(torch.int8).sub_(1)
