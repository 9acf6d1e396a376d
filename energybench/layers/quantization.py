"""How does a float become eight bits, and back? The integer scheme of the quantisation whitepaper, and float8.

Weights are symmetric: q = clamp(round(w / s), -127, 127) with s = max|w| / 127, for each output channel or for the
whole tensor. Activations are affine for each tensor: s = (high - low) / 255 and a zero point z that stands exactly for
0; they are kept as signed bytes, q = clamp(round(x / s) + z, -128, 127), because integer matrix products take those,
which only shifts z by 128. Then, with integers only inside the sum,

    y[k] = s_x s_w[k] (sum_c q_x[c] q_w[k, c] - z sum_c q_w[k, c]).

Source: Krishnamoorthi, Quantizing deep convolutional networks for efficient inference (arXiv 1806.08342), sections 2
and 3; e4m3 of float8: Micikevicius et al., FP8 Formats for Deep Learning (arXiv 2209.05433), table 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from energybench.errors import UnsupportedError

Range = tuple[float, float]
"""Smallest and largest activation, known before (calibrated)."""

NORMAL_RANGE: Range = (-4.0, 4.0)
"""Of the normal inputs that layers are measured with; 6 in 100 000 lie outside. Ours."""

LARGEST_E4M3 = 448.0


@dataclass(frozen=True)
class Affine:
    """An affine map between floats and signed bytes."""

    scale: float
    zero_point: int

    def quantized(self, x: Tensor) -> Tensor:
        """The signed bytes that stand for ``x``, clamped to what they can hold; one operator after another."""
        return self.rounded(x.float() / self.scale)

    def rounded(self, steps: Tensor, *, lowest: int = -128) -> Tensor:
        """The signed bytes, none below ``lowest``, for a number in steps of the scale; ``steps`` is overwritten."""
        steps = steps.round_()
        return (steps.add_(self.zero_point) if self.zero_point else steps).clamp_(lowest, 127).to(torch.int8)

    def restored(self, q: Tensor) -> Tensor:
        """The floats that signed bytes stand for."""
        return (q.float() - self.zero_point) * self.scale


def affine(bounds: Range) -> Affine:
    """The map whose 256 values span a range, stretched so that it holds 0.

    Raises:
        ValueError: the range is empty.
    """
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    if not low < high:
        raise ValueError(f"the range {bounds} of activations is empty")
    scale = (high - low) / 255
    return Affine(scale, round(-low / scale) - 128)


def quantized_weight(weight: Tensor, *, bits: int = 8, per_channel: bool = True) -> tuple[Tensor, Tensor]:
    """Signed integers (as bytes) for a weight of K rows, and the 32-bit scale of each row, or one for all of them."""
    magnitudes = weight.float().abs().flatten(1)
    largest = magnitudes.amax(1) if per_channel else magnitudes.amax().reshape(1)
    limit = 2 ** (bits - 1) - 1
    scale = largest.clamp_min(torch.finfo(torch.float32).tiny) / limit
    rows = scale.reshape(-1, *[1] * (weight.dim() - 1))
    return (weight.float() / rows).round().clamp(-limit, limit).to(torch.int8), scale


def ternary_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights in {-1, 0, 1} (as bytes) and their common 32-bit scale, the mean magnitude.

    Source: PROM (arXiv 2505.03254); the absmean rule is that of BitNet b1.58 (arXiv 2402.17764), section 2, and that
    PROM uses it for every pointwise layer is our reading.
    """
    scale = weight.float().abs().mean().clamp_min(torch.finfo(torch.float32).tiny)
    return (weight.float() / scale).round().clamp(-1, 1).to(torch.int8), scale


def float8(x: Tensor, scale: Tensor) -> Tensor:
    """``x / scale`` in e4m3, clamped to its largest number instead of becoming NaN."""
    return (x.float() / scale).clamp_(-LARGEST_E4M3, LARGEST_E4M3).to(torch.float8_e4m3fn)


def require_int8(weight: Tensor) -> None:
    """Raise where PyTorch has no product of 8-bit integers.

    Raises:
        UnsupportedError: neither a CPU nor an NVIDIA GPU from Turing on; or a shape CUDA does not take.
    """
    if weight.device.type == "cuda":
        if torch.cuda.get_device_capability(weight.device) < (7, 5):
            raise UnsupportedError("int8 tensor cores need compute capability 7.5 or newer (Turing)")
        if weight.shape[0] % 8 or weight[0].numel() % 8:
            shape = f"{weight[0].numel()} -> {weight.shape[0]}"
            raise UnsupportedError(f"int8 products on CUDA take channels in multiples of 8, not {shape}")
    elif weight.device.type not in ("cpu", "meta"):
        raise UnsupportedError(f"PyTorch multiplies 8-bit integers on CUDA and the CPU, not on {weight.device.type}")


def require_float8(weight: Tensor) -> None:
    """Raise where there is no float8 arithmetic: a float32 emulation is nothing to measure.

    Raises:
        UnsupportedError: no NVIDIA GPU from Ada on, or a shape it does not take.
    """
    if weight.device.type == "meta":
        return
    if weight.device.type != "cuda" or torch.cuda.get_device_capability(weight.device) < (8, 9):
        raise UnsupportedError("float8 needs compute capability 8.9 or newer (Ada); elsewhere it would be emulated")
    if weight.shape[0] % 16 or weight.shape[1] % 16:
        shape = f"{weight.shape[1]} -> {weight.shape[0]}"
        raise UnsupportedError(f"float8 products on CUDA take channels in multiples of 16, not {shape}")
