"""What is a convolution in a network whose layers have formats of their own? Each converts where its neighbour differs.

Activations between layers are floats or signed bytes that stand for the steps of one range; the layout is channels-last
throughout, so that rows for a matrix product are a view. Source: FLIQS (arXiv 2308.03290) for a format each layer.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from energybench.layers.float8 import Float8PointwiseConv2d
from energybench.layers.quantization import NORMAL_RANGE, affine
from energybench.layers.quantized import Int8Conv2d

Format = Literal["float", "int8", "fp8"]
"""What a layer multiplies in; ``float`` is the format of the case."""

Activation = Literal["float", "int8"]
"""What stands between two layers."""

BYTES = affine(NORMAL_RANGE)
"""The bytes between layers: one range for all, whose zero is the byte 0."""


class FormatConv2d(nn.Module):
    """A "same" convolution with bias and, if asked for, ReLU, in one format, between neighbours of whatever format.

    int8: bytes or floats in and out, converted on the sides that differ. float: bytes are restored before, outputs made
    bytes after. fp8: only 1x1 with stride 1 (PyTorch has no other float8 convolution), and both conversions always: its
    neighbours are never float8. What is converted is part of the work. Inference only.

    Args:
        in_channels: input channels C.
        out_channels: output channels K.
        kernel_size: side of the filter, odd.
        stride: step of the filter.
        format: what it multiplies in.
        reads: what comes in, N x C x H x W.
        writes: what goes out, N x K x P x Q.
        relu: end with a ReLU.

    Raises:
        ValueError: another format, or fp8 for a filter that it has no product for.

    Source: FLIQS (arXiv 2308.03290); the layers, see :class:`Int8Conv2d` and :class:`Float8PointwiseConv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        format: Format = "float",  # noqa: A002 - the word of suites
        reads: Activation = "float",
        writes: Activation = "float",
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.format, self.reads, self.writes, self.relu = stride, format, reads, writes, relu
        self.bias: nn.Parameter | None = None
        match format:
            case "float":
                self.conv: nn.Module = nn.Conv2d(
                    in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2
                )
            case "int8":
                self.conv = Int8Conv2d(
                    in_channels, out_channels, kernel_size, stride=stride, bias=True, relu=relu,
                    convert=_converted_sides(reads, writes),
                )  # fmt: skip
            case "fp8" if kernel_size == stride == 1:
                self.conv = Float8PointwiseConv2d(in_channels, out_channels, convert=True)
                self.bias = nn.Parameter(torch.zeros(out_channels))
            case "fp8":
                raise ValueError(f"fp8 takes 1x1 layers of stride 1, not {kernel_size}x{kernel_size} of {stride}")
            case _:
                raise ValueError(f"format={format!r} is none of float, int8, fp8")

    def forward(self, x: Tensor) -> Tensor:
        """The convolution, from what it reads to what it writes."""
        if self.format == "int8":
            return self._as_image(self.conv(self._as_rows(x)), x)
        y = self._among_floats(as_floats(x, self._float_dtype) if self.reads == "int8" else x)
        y = y.relu_() if self.relu else y
        return BYTES.quantized(y) if self.writes == "int8" else y

    def _among_floats(self, x: Tensor) -> Tensor:
        """The convolution with its bias of a layer that is not one of integers."""
        if self.bias is None:
            y: Tensor = self.conv(x)
            return y
        rows = self.conv(self._as_rows(x)).add_(self.bias)
        return self._as_image(rows.to(self.bias.dtype), x)  # a float8 product writes at most 16 bits

    @property
    def _float_dtype(self) -> torch.dtype:
        """The format of the floats around the layer."""
        bias: Tensor = self.conv.bias if self.bias is None else self.bias  # type: ignore[assignment]
        return bias.dtype

    def _as_rows(self, x: Tensor) -> Tensor:
        """N x C x H x W as the layers of formats read it: channels last, rows where they multiply them as they are."""
        rows = x.permute(0, 2, 3, 1).contiguous()
        return rows.flatten(0, 2) if self.format == "fp8" or _is_matrix_product(self.conv) else rows

    def _as_image(self, rows: Tensor, x: Tensor) -> Tensor:
        """(N P Q) x K as N x K x P x Q, where ``x`` came in."""
        P, Q = (-(-side // self.stride) for side in x.shape[2:])
        image: Tensor = rows.unflatten(0, (x.shape[0], P, Q))
        return image.permute(0, 3, 1, 2)


def as_floats(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The floats that bytes between layers stand for."""
    return x.to(dtype) * BYTES.scale


def clamped_sum(x: Tensor, y: Tensor) -> Tensor:
    """ReLU(x + y) of bytes of the same steps, without overflow."""
    total: Tensor = x.short() + y
    return total.clamp_(BYTES.zero_point, 127).to(torch.int8)


def _converted_sides(reads: Activation, writes: Activation) -> bool | Literal["in", "out"]:
    if reads == writes:
        return reads == "float"
    return "in" if reads == "float" else "out"


def _is_matrix_product(conv: nn.Module) -> bool:
    return isinstance(conv, Int8Conv2d) and conv.kernel_size == conv.stride == 1
