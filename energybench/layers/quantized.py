"""Convolutions on 8-bit integers, real integer products throughout, and those that only store their weights so.

Source: Krishnamoorthi, Quantizing deep convolutional networks for efficient inference (arXiv 1806.08342).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from energybench.layers.quantization import NORMAL_RANGE, Range, affine, quantized_weight, require_int8

LONGEST_SUM = 133_144
"""Products of two signed bytes that 32 bits surely hold: 2^31 / (127 x 127), rounded down."""


class Int8Conv2d(nn.Module):
    """A convolution with int8 weights (a scale for each output channel) and int8 activations (one scale and zero).

    A 1x1 filter is one integer matrix product, a larger one im2col and that product; sums are exact in 32 bits.
    There is no depthwise form: integer tensor cores have none.

    Input N x C x H x W as the suite gives it. As inside an integer network (the default) it is handed over as signed
    bytes in rows, (N H W) x C (N x H x W x C for larger filters), and the output is requantised to signed bytes,
    (N P Q) x K; ReLU costs nothing, it is where the clamp is. With ``convert`` it stands alone in a float network:
    floats come in and go out, and both conversions are part of the work; "in" and "out" convert on one side only, where
    the formats of a network change. Inference only.

    Args:
        in_channels: input channels C.
        out_channels: output channels K.
        kernel_size: side of the filter, odd; padding is "same".
        stride: step of the filter.
        per_channel: a weight scale for each output channel instead of one.
        bias: a bias for each output channel, such as a folded batch norm; adding it costs nothing more.
        relu: end with a ReLU.
        convert: floats in and out; "in" or "out": there only.
        input_range: smallest and largest activation, found by calibration before.

    Raises:
        ValueError: an even filter, sums longer than 32 bits hold, or an empty range.

    Source: Krishnamoorthi (arXiv 1806.08342), sections 2 and 3. The default range is that of normal inputs (ours); the
    output is given the input's.
    """

    value_pattern = ""
    q: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        per_channel: bool = True,
        bias: bool = False,
        relu: bool = False,
        convert: bool | Literal["in", "out"] = False,
        input_range: Range = NORMAL_RANGE,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} is even; same padding needs an odd side")
        if in_channels * kernel_size**2 > LONGEST_SUM:
            raise ValueError(f"sums of {in_channels * kernel_size**2} products may overflow 32 bits; {LONGEST_SUM} fit")
        self.kernel_size, self.stride, self.per_channel, self.relu = kernel_size, stride, per_channel, relu
        self.floats_in, self.floats_out = convert in (True, "in"), convert in (True, "out")
        self.affine = affine((input_range[0], input_range[1]))
        self.stored_weights = 0
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=bias)
        self.weight, self.bias = conv.weight, conv.bias

    def pack_weights(self) -> None:
        """Quantise; rows are ordered as im2col orders its columns: filter row, filter column, channel.

        Raises:
            UnsupportedError: PyTorch has no integer product on this device.
        """
        weight = self.weight.detach()
        require_int8(weight)
        self.float_dtype = weight.dtype
        bias = self.bias.detach().float() if self.bias is not None else None
        self.stored_weights = weight.numel() + (bias.numel() if bias is not None else 0)
        q, scale = quantized_weight(weight.permute(0, 2, 3, 1).flatten(1), per_channel=self.per_channel)
        del self.weight, self.bias
        # Bytes come out in steps of the output's scale, which is the input's: scale_x scale_w / scale_y = scale_w.
        steps = scale * self.affine.scale if self.floats_out else scale
        offset = -self.affine.zero_point * q.sum(1, dtype=torch.int32).float() * steps
        if bias is not None:
            offset += bias if self.floats_out else bias / self.affine.scale
        self.register_buffer("q", q)
        self.register_buffer("scale", steps)
        self.register_buffer("offset", offset)

    def encode_input(self, x: Tensor) -> Tensor:
        """Signed bytes, channels last, in rows where the filter is 1x1; where floats come in, those."""
        rows = x if self.floats_in else self.affine.quantized(x)
        rows = rows.permute(0, 2, 3, 1).contiguous()
        return rows.flatten(0, 2) if self._is_matrix_product else rows

    def accumulated(self, q: Tensor) -> Tensor:
        """The 32-bit sums of integer inputs times integer weights, (N P Q) x K; nothing is rounded."""
        return torch._int_mm(q if self._is_matrix_product else self._columns(q), self.q.t())

    def forward(self, x: Tensor) -> Tensor:
        """The convolution, bytes to bytes or, where it converts, from or to floats."""
        sums = self.accumulated(self.affine.quantized(x) if self.floats_in else x)
        y = (sums * self.scale).add_(self.offset)
        if not self.floats_out:
            return self.affine.rounded(y, lowest=self.affine.zero_point if self.relu else -128)
        return (y.relu_() if self.relu else y).to(self.float_dtype)

    @property
    def _is_matrix_product(self) -> bool:
        return self.kernel_size == 1 and self.stride == 1

    def _columns(self, q: Tensor) -> Tensor:
        """Im2col on bytes: a copy of each filter's window, (N P Q) x (k k C); padding is the zero point."""
        k, side = self.kernel_size, self.kernel_size // 2
        if side:  # padding by nothing would copy
            q = nn.functional.pad(q, (0, 0, side, side, side, side), value=self.affine.zero_point)
        windows = q.unfold(1, k, self.stride).unfold(2, k, self.stride)
        return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, k * k * q.shape[-1])


class WeightOnlyPointwiseConv2d(nn.Module):
    """A 1x1 convolution that stores 8- or 4-bit weights and restores them to floats each time before it multiplies.

    It saves memory, not arithmetic: the product is one of floats. Input N x C x H x W as the suite gives it, handed
    over in rows, (N H W) x C; output (N H W) x K. Inference only.

    Args:
        in_channels: input channels C, even where two share a byte.
        out_channels: output channels K.
        bits: 8, or 4 with two weights a byte.

    Raises:
        ValueError: other bits, or an odd number of channels for 4.

    Source: Krishnamoorthi (arXiv 1806.08342), section 3.1.1, "weight only quantization".
    """

    value_pattern = ""
    q: Tensor
    scale: Tensor

    def __init__(self, in_channels: int, out_channels: int, bits: Literal[8, 4] = 8) -> None:
        super().__init__()
        if bits not in (8, 4) or (bits == 4 and in_channels % 2):
            raise ValueError(f"bits={bits}: 8, or 4 with an even number of input channels")
        self.bits = bits
        self.stored_weights = 0
        self.weight = nn.Parameter(nn.Conv2d(in_channels, out_channels, 1, bias=False).weight.detach().flatten(1))

    def pack_weights(self) -> None:
        """Quantise with a scale for each output channel; at 4 bits two neighbours share a byte, the first one low."""
        weight = self.weight.detach()
        q, scale = quantized_weight(weight, bits=self.bits)
        self.stored_weights = weight.numel()
        del self.weight
        if self.bits == 4:
            halves = (q + 8).to(torch.uint8).unflatten(1, (-1, 2))
            q = halves[..., 0] | (halves[..., 1] << 4)
        self.register_buffer("q", q.contiguous())
        self.register_buffer("scale", scale.to(weight.dtype).unsqueeze(1))

    def encode_input(self, x: Tensor) -> Tensor:
        """Channels last, in rows."""
        return x.permute(0, 2, 3, 1).flatten(0, 2).contiguous()

    def restored(self) -> Tensor:
        """The float weight, K x C."""
        q = self.q
        if self.bits == 4:
            q = torch.stack((q & 15, q >> 4), dim=2).flatten(1).to(torch.int8).sub_(8)
        return q * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Rows times the restored weight."""
        return nn.functional.linear(x, self.restored())
