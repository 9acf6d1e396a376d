"""How is small-kernel aggregation one kernel? In Triton, for inference: filters are read once for all their channels.

A program owns a row of pixels (across image rows) and one filter per pixel; it reads that filter's nine taps once and
adds them up over all channels that share it, in float32. Neighbouring taps find their pixels in the L1.

Not tuned, and no speed is claimed until it is measured on a GPU. What is shown is that it computes the aggregation,
in Triton's interpreter (``TRITON_INTERPRET=1``).

Source: Wang et al., LSNet (arXiv 2503.23135), section 3.2; the kernel is ours.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

INTERPRETED = bool(triton.knobs.runtime.interpret)
"""Whether the kernel below was made for Triton's interpreter, which runs it on the CPU, slowly."""

PIXELS = 64
"""Of one program; times eight channels, that is four values a thread of four warps."""


def launch_ska(x: Tensor, weights: Tensor) -> Tensor:
    """N x C x H x W aggregated by N x K x 9 x H x W, both contiguous."""
    N, C, H, W = x.shape
    K = weights.shape[1]
    y = torch.empty_like(x)
    grid = (triton.cdiv(H * W, PIXELS), N * K)
    ska_kernel[grid](x, weights, y, H, W, K, SHARED=C // K, LANES=triton.next_power_of_2(C // K), PIXELS=PIXELS)
    return y


@triton.jit
def ska_kernel(x, weights, y, H, W, K, SHARED: tl.constexpr, LANES: tl.constexpr, PIXELS: tl.constexpr):
    """One filter per pixel, ``PIXELS`` pixels, and the ``SHARED`` channels k, k + K, k + 2 K, ... of one image."""
    area = H * W
    plane = tl.program_id(1).to(tl.int64)  # image x K + k; offsets of large batches exceed 32 bits
    k = plane % K
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < area
    row, column = pixel // W, pixel % W
    lane = tl.arange(0, LANES)
    channel = ((plane - k) * SHARED + lane * K + k)[:, None] * area
    shared = (lane < SHARED)[:, None]
    total = tl.full((LANES, PIXELS), 0.0, tl.float32)
    for tap in tl.static_range(9):
        u, v = row + (tap // 3 - 1), column + (tap % 3 - 1)
        here = inside & (u >= 0) & (u < H) & (v >= 0) & (v < W)
        weight = tl.load(weights + (plane * 9 + tap) * area + pixel, mask=here, other=0.0).to(tl.float32)
        value = tl.load(x + channel + (u * W + v)[None, :], mask=shared & here[None, :], other=0.0).to(tl.float32)
        total += value * weight[None, :]
    tl.store(y + channel + pixel[None, :], total.to(y.dtype.element_ty), mask=shared & inside[None, :])
