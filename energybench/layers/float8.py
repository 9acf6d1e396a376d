"""Pointwise convolutions on float8 tensor cores (e4m3), as mixed-format networks choose them layer by layer.

Source: FLIQS: One-Shot Mixed-Precision Floating-Point and Integer Quantization Search (arXiv 2308.03290).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from energybench.layers.quantization import LARGEST_E4M3, NORMAL_RANGE, float8, require_float8


class Float8PointwiseConv2d(nn.Module):
    """A 1x1 convolution with weights and activations in e4m3, one scale each for the whole tensor.

    Input N x C x H x W as the suite gives it. As inside a float8 network (the default) it is handed over as e4m3 in
    rows, (N H W) x C, and the output is e4m3, (N H W) x K, rescaled by the product itself. With ``convert`` it stands
    alone: wider floats come in and go out (bfloat16 where they came in as 32 bits). Inference only.

    Args:
        in_channels: input channels C, a multiple of 16.
        out_channels: output channels K, a multiple of 16.
        convert: wider floats in and out, the conversion part of the work.

    Source: FLIQS (arXiv 2308.03290), section 3; scales by the largest magnitude, Micikevicius et al. (arXiv
    2209.05433), section 3; static range of normal inputs (ours).
    """

    value_pattern = ""
    q: Tensor
    input_scale: Tensor
    weight_scale: Tensor

    def __init__(self, in_channels: int, out_channels: int, *, convert: bool = False) -> None:
        super().__init__()
        self.convert = convert
        self.stored_weights = 0
        self.weight = nn.Parameter(nn.Conv2d(in_channels, out_channels, 1, bias=False).weight.detach().flatten(1))

    def pack_weights(self) -> None:
        """Round to e4m3.

        Raises:
            UnsupportedError: the device has no float8 arithmetic.
        """
        weight = self.weight.detach()
        require_float8(weight)
        self.stored_weights = weight.numel()
        del self.weight
        largest = weight.float().abs().amax().clamp_min(torch.finfo(torch.float32).tiny)
        scale = largest / LARGEST_E4M3
        input_scale = torch.full_like(largest, NORMAL_RANGE[1] / LARGEST_E4M3)
        wide = torch.float16 if weight.dtype == torch.float16 else torch.bfloat16
        self.output_dtype = wide if self.convert else torch.float8_e4m3fn
        self.register_buffer("q", float8(weight, scale))
        self.register_buffer("input_scale", input_scale)
        # Outputs in e4m3 are given the input's scale, and the weight's carries it: `scale_result` would say the same,
        # but CUDA ignores it in torch 2.10 and some later ones (pytorch issue 190449).
        self.register_buffer("weight_scale", scale if self.convert else scale / input_scale)

    def encode_input(self, x: Tensor) -> Tensor:
        """Channels last, in rows; e4m3 unless the layer converts."""
        rows = x.permute(0, 2, 3, 1).flatten(0, 2).contiguous()
        return rows if self.convert else float8(rows, self.input_scale)

    def forward(self, x: Tensor) -> Tensor:
        """E4m3 to e4m3 or, with ``convert``, wider floats to wider floats."""
        rows = float8(x, self.input_scale) if self.convert else x
        return scaled_product(rows, self.q, self.input_scale, self.weight_scale, self.output_dtype)


def scaled_product(x: Tensor, weight: Tensor, x_scale: Tensor, weight_scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows of e4m3 (P x C) times an e4m3 weight (K x C), scaled back and written as ``dtype``."""
    return torch._scaled_mm(x, weight.t(), x_scale, weight_scale, out_dtype=dtype)
