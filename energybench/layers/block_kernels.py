"""How is a whole residual block one kernel? Triton kernels of ConvFirst and MBConv for inference, depth first.

A program owns a tile of pixels of one image and keeps everything between input and output on the chip: it walks over
the expanded channels in steps, makes that many of them for its tile, and adds what they contribute to the output.
Weights are read again by every program and stay in the L2; of the activations only the input (with its halo) is read
and only the output is written.

Grouped convolutions run on tensor cores: groups narrower than an instruction's depth of 16 are packed side by side into
block-diagonal matrices, one batched product a filter tap. Products are summed in float32.

Not tuned: the tiles below are starting points, and no speed is claimed until it is measured on a GPU. What is shown
is that they compute the block, in Triton's interpreter (``TRITON_INTERPRET=1``).

Source: A. Lavin (arXiv 2404.03617), block fusion by depth-first execution; the kernels are ours.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

INTERPRETED = bool(triton.knobs.runtime.interpret)
"""Whether the kernels below were made for Triton's interpreter, which runs them on the CPU, slowly."""

DEPTH = 16
"""Least depth and width of a tensor-core product."""

MOST_SUMS = 2**15
"""Float32 sums a program may hold: 128 KiB, half of an SM's registers."""

CONFIGS = [
    triton.Config({"BLOCK_H": rows, "BLOCK_W": 16, "BLOCK_E": hidden}, num_warps=warps, num_stages=2)
    for rows, hidden, warps in itertools.product((4, 8), (32, 64), (4, 8))
]


def _fitting(configs: list[Any], arguments: dict[str, Any], **constants: Any) -> list[Any]:
    """The configurations that hold whole packs and whose sums fit into registers; one where nothing can be timed."""
    known = {**arguments, **constants}
    whole = [c for c in configs if c.kwargs["BLOCK_E"] % known["PACK"] == 0]
    sums = [c.kwargs["BLOCK_H"] * c.kwargs["BLOCK_W"] * known["BLOCK_C"] for c in whole]
    fitting = [c for c, count in zip(whole, sums, strict=True) if count <= MOST_SUMS]
    return fitting[:1] if INTERPRETED else fitting


@triton.jit
def _silu(x):
    return x / (1.0 + tl.exp(-x))


@triton.jit
def _packed_weight(w, first, tap_r, tap_s, GROUP: tl.constexpr, PACK: tl.constexpr, PACKS: tl.constexpr,
                   CHANNELS: tl.constexpr, R: tl.constexpr):  # fmt: skip
    """One filter tap of CHANNELS x R x R x GROUP weights as block-diagonal matrices PACKS x PACK (in) x PACK (out)."""
    pack = tl.arange(0, PACKS)[:, None, None]
    into = tl.arange(0, PACK)[None, :, None]
    out = tl.arange(0, PACK)[None, None, :]
    channel = first + pack * PACK + out
    wanted = (into // GROUP == out // GROUP) & (channel < CHANNELS)
    return tl.load(w + ((channel * R + tap_r) * R + tap_s) * GROUP + into % GROUP, mask=wanted, other=0.0)


@triton.autotune(CONFIGS, key=["C", "HIDDEN", "H", "W"], prune_configs_by={"early_config_prune": _fitting})
@triton.jit
def conv_first_kernel(
    x, y, w_conv, b_conv, w_expand, b_expand, w_project, b_project, stride_n, stride_c, stride_h, stride_w,
    C: tl.constexpr, HIDDEN: tl.constexpr, H: tl.constexpr, W: tl.constexpr, R: tl.constexpr, GROUP: tl.constexpr,
    PACK: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_E: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Grouped R x R on C, pointwise to HIDDEN, SiLU, pointwise to C, plus input; a tile of BLOCK_H x BLOCK_W pixels."""
    M: tl.constexpr = BLOCK_H * BLOCK_W
    PACKS: tl.constexpr = BLOCK_C // PACK
    TILES_H: tl.constexpr = (H + BLOCK_H - 1) // BLOCK_H
    TILES_W: tl.constexpr = (W + BLOCK_W - 1) // BLOCK_W
    tile = tl.program_id(0)
    image = (tile // (TILES_H * TILES_W)).to(tl.int64) * stride_n
    pixel = tl.arange(0, M)
    row = tile // TILES_W % TILES_H * BLOCK_H + pixel // BLOCK_W
    column = tile % TILES_W * BLOCK_W + pixel % BLOCK_W
    inside = (row < H) & (column < W)

    packed = (tl.arange(0, PACKS) * PACK)[:, None, None] + tl.arange(0, PACK)[None, None, :]
    sums = tl.full((PACKS, M, PACK), 0.0, tl.float32)
    for tap in tl.static_range(R * R):
        h, w = row + (tap // R - R // 2), column + (tap % R - R // 2)
        there = inside & (h >= 0) & (h < H) & (w >= 0) & (w < W)
        at = (h * stride_h + w * stride_w)[None, :, None] + packed * stride_c
        seen = tl.load(x + image + at, mask=there[None, :, None] & (packed < C), other=0.0)
        tap_weight = _packed_weight(w_conv, 0, tap // R, tap % R, GROUP, PACK, PACKS, C, R)
        sums = tl.dot(seen, tap_weight, sums, input_precision=PRECISION)
    sums += tl.load(b_conv + packed, mask=packed < C, other=0.0).to(tl.float32)
    mixed = tl.reshape(tl.permute(sums, (1, 0, 2)), (M, BLOCK_C)).to(x.dtype.element_ty)

    channel = tl.arange(0, BLOCK_C)
    out = tl.full((M, BLOCK_C), 0.0, tl.float32)
    for first in range(0, HIDDEN, BLOCK_E):
        hidden = first + tl.arange(0, BLOCK_E)
        wanted = (hidden < HIDDEN)[None, :] & (channel < C)[:, None]
        into = tl.load(w_expand + hidden[None, :] * C + channel[:, None], mask=wanted, other=0.0)
        bias = tl.load(b_expand + hidden, mask=hidden < HIDDEN, other=0.0).to(tl.float32)
        wide = _silu(tl.dot(mixed, into, input_precision=PRECISION) + bias[None, :]).to(mixed.dtype)
        wanted = (hidden < HIDDEN)[:, None] & (channel < C)[None, :]
        back = tl.load(w_project + channel[None, :] * HIDDEN + hidden[:, None], mask=wanted, other=0.0)
        out = tl.dot(wide, back, out, input_precision=PRECISION)

    here = image + (row * stride_h + column * stride_w)[:, None] + channel[None, :] * stride_c
    kept = inside[:, None] & (channel < C)[None, :]
    out += tl.load(b_project + channel, mask=channel < C, other=0.0).to(tl.float32)[None, :]
    out += tl.load(x + here, mask=kept, other=0.0).to(tl.float32)
    tl.store(y + here, out.to(y.dtype.element_ty), mask=kept)


@triton.autotune(CONFIGS, key=["C", "HIDDEN", "H", "W"], prune_configs_by={"early_config_prune": _fitting})
@triton.jit
def mbconv_kernel(
    x, y, w_expand, b_expand, w_conv, b_conv, w_project, b_project, stride_n, stride_c, stride_h, stride_w,
    C: tl.constexpr, HIDDEN: tl.constexpr, H: tl.constexpr, W: tl.constexpr, R: tl.constexpr, GROUP: tl.constexpr,
    PACK: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_E: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Pointwise to HIDDEN, SiLU, grouped R x R, SiLU, pointwise to C, plus input.

    A tile holds the expanded channels of BLOCK_H x BLOCK_W pixels, the halo among them: neighbours overlap by R - 1
    rows and columns, which are made twice. A side on which the whole map fits into a tile has no halo.
    """
    M: tl.constexpr = BLOCK_H * BLOCK_W
    PACKS: tl.constexpr = BLOCK_E // PACK
    HALO_H: tl.constexpr = 0 if BLOCK_H >= H else R // 2
    HALO_W: tl.constexpr = 0 if BLOCK_W >= W else R // 2
    STEP_H: tl.constexpr = BLOCK_H - 2 * HALO_H
    STEP_W: tl.constexpr = BLOCK_W - 2 * HALO_W
    TILES_H: tl.constexpr = (H + STEP_H - 1) // STEP_H
    TILES_W: tl.constexpr = (W + STEP_W - 1) // STEP_W
    tile = tl.program_id(0)
    image = (tile // (TILES_H * TILES_W)).to(tl.int64) * stride_n
    pixel = tl.arange(0, M)
    tile_row, tile_column = pixel // BLOCK_W, pixel % BLOCK_W
    row = tile // TILES_W % TILES_H * STEP_H - HALO_H + tile_row
    column = tile % TILES_W * STEP_W - HALO_W + tile_column
    inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
    interior = inside & (tile_row >= HALO_H) & (tile_row < HALO_H + STEP_H)
    interior &= (tile_column >= HALO_W) & (tile_column < HALO_W + STEP_W)

    channel = tl.arange(0, BLOCK_C)
    at = image + (row * stride_h + column * stride_w)[:, None] + channel[None, :] * stride_c
    seen = tl.load(x + at, mask=inside[:, None] & (channel < C)[None, :], other=0.0)
    out = tl.full((M, BLOCK_C), 0.0, tl.float32)
    for first in range(0, HIDDEN, BLOCK_E):
        hidden = first + tl.arange(0, BLOCK_E)
        wanted = (hidden < HIDDEN)[None, :] & (channel < C)[:, None]
        into = tl.load(w_expand + hidden[None, :] * C + channel[:, None], mask=wanted, other=0.0)
        bias = tl.load(b_expand + hidden, mask=hidden < HIDDEN, other=0.0).to(tl.float32)
        wide = _silu(tl.dot(seen, into, input_precision=PRECISION) + bias[None, :])
        wide = tl.where(inside[:, None], wide, 0.0).to(seen.dtype)  # what pads the map is zero after the activation

        sums = tl.full((PACKS, M, PACK), 0.0, tl.float32)
        for tap in tl.static_range(R * R):
            from_row, from_column = tile_row + (tap // R - R // 2), tile_column + (tap % R - R // 2)
            held = (from_row >= 0) & (from_row < BLOCK_H) & (from_column >= 0) & (from_column < BLOCK_W)
            source = tl.where(held, from_row * BLOCK_W + from_column, 0)
            shifted = tl.gather(wide, tl.broadcast_to(source[:, None], (M, BLOCK_E)), 0)
            shifted = tl.where(held[:, None], shifted, 0.0).to(seen.dtype)
            packed = tl.permute(tl.reshape(shifted, (M, PACKS, PACK)), (1, 0, 2))
            tap_weight = _packed_weight(w_conv, first, tap // R, tap % R, GROUP, PACK, PACKS, HIDDEN, R)
            sums = tl.dot(packed, tap_weight, sums, input_precision=PRECISION)
        shift = tl.load(b_conv + hidden, mask=hidden < HIDDEN, other=0.0).to(tl.float32)
        mixed = tl.reshape(tl.permute(sums, (1, 0, 2)), (M, BLOCK_E)) + shift[None, :]
        wanted = (hidden < HIDDEN)[:, None] & (channel < C)[None, :]
        back = tl.load(w_project + channel[None, :] * HIDDEN + hidden[:, None], mask=wanted, other=0.0)
        out = tl.dot(_silu(mixed).to(seen.dtype), back, out, input_precision=PRECISION)

    out += tl.load(b_project + channel, mask=channel < C, other=0.0).to(tl.float32)[None, :]
    out += seen.to(tl.float32)
    tl.store(y + at, out.to(y.dtype.element_ty), mask=interior[:, None] & (channel < C)[None, :])


def launch_conv_first(x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """ConvFirst of N x C x H x W; ``weights`` are weight and bias of the grouped, the expanding and the last layer."""
    y = torch.empty_like(x)
    shape = _constants(x, weights[0], weights[2].shape[0])

    def grid(tile: dict[str, int]) -> tuple[int]:
        return (x.shape[0] * _tiles(shape["H"], tile["BLOCK_H"]) * _tiles(shape["W"], tile["BLOCK_W"]),)

    conv_first_kernel[grid](x, y, *_laid_out(weights, 0), *x.stride(), **shape)
    return y


def launch_mbconv(x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """MBConv of N x C x H x W; ``weights`` are weight and bias of the expanding, the grouped and the last layer."""
    y = torch.empty_like(x)
    shape = _constants(x, weights[2], weights[0].shape[0])
    halo = shape["R"] // 2

    def grid(tile: dict[str, int]) -> tuple[int]:
        across = [
            _tiles(side, block if block >= side else block - 2 * halo)
            for side, block in ((shape["H"], tile["BLOCK_H"]), (shape["W"], tile["BLOCK_W"]))
        ]
        return (x.shape[0] * across[0] * across[1],)

    mbconv_kernel[grid](x, y, *_laid_out(weights, 2), *x.stride(), **shape)
    return y


def _constants(x: Tensor, w_conv: Tensor, hidden: int) -> dict[str, Any]:
    """What a kernel is compiled for."""
    _, C, H, W = x.shape
    group, R = w_conv.shape[1:3]
    strict = x.dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32
    pack = max(DEPTH, group)
    return {
        "C": C, "HIDDEN": hidden, "H": H, "W": W, "R": R, "GROUP": group, "PACK": pack,
        "BLOCK_C": max(pack, triton.next_power_of_2(C)), "PRECISION": "ieee" if strict else "tf32",
        "enable_fp_fusion": True,
    }  # fmt: skip


def _laid_out(weights: tuple[Tensor, ...], grouped: int) -> list[Tensor]:
    """The weights as the kernels read them: the grouped one with its input channels last."""
    return [
        w.contiguous(memory_format=torch.channels_last if i == grouped else torch.contiguous_format)
        for i, w in enumerate(weights)
    ]


def _tiles(side: int, step: int) -> int:
    return -(-side // step)
