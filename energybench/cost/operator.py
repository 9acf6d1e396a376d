"""What is known of one operator: its arithmetic, its bytes, its shape, and what kind of kernel does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple

Family = Literal[
    "conv_dense",
    "conv_grouped",
    "conv_depthwise",
    "conv_pointwise",
    "gemm",
    "sparse",
    "normalisation",
    "elementwise",
    "pooling",
    "reduction",
    "copy",
    "other",
]

DTYPE_BYTES: Mapping[str, int] = {
    "float64": 8,
    "float32": 4,
    "tf32": 4,  # stored as float32, multiplied with a 10-bit mantissa
    "float16": 2,
    "bfloat16": 2,
    "float8": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "complex64": 8,
    "complex128": 16,
}
"""Bytes of one stored element."""


@dataclass(frozen=True)
class OperatorCost:
    """What one operator must do in one iteration (the whole batch).

    Attributes:
        name: the operator: ``conv2d``, ``linear``, ``batch_norm``, ``relu``, ...
        family: its kind, by which kernels behave alike.
        macs: multiply-accumulates; 0 for all but convolutions and matrix products.
        read_bytes: inputs and weights, each element once.
        write_bytes: outputs, each element once.
        dtype: number format of the arithmetic (``tf32`` is its own value).
        groups: number of groups of a convolution.
        group_size: input channels per group, 0 where that has no meaning.
        kernel_size: the filter's (longer) side, 0 where that has no meaning.
        out_channels: output channels of a convolution, columns of a matrix product; 0 where that has no meaning.
        stride: the (longer) step of a convolution's filter; 0 where that has no meaning.
        input_side: the (longer) side of a convolution's input; 0 where that has no meaning.
        weight_bytes: the part of ``read_bytes`` that are parameters and buffers, the same in every iteration.
        reread_bytes: read again, beyond ``read_bytes``, by an operator whose very work is to read the same memory over
            and over (`machines measure`); a cache that holds what it reads gives them. 0 for all others.
        path: module path inside the network, ``features.3.conv``; empty for the module itself.
        known: False for an operator no closed form knows: its bytes are counted from its tensors, its MACs are
            unknown, and it is named to the user.
    """

    name: str
    family: Family
    macs: int
    read_bytes: int
    write_bytes: int
    dtype: str = "float32"
    groups: int = 1
    group_size: int = 0
    kernel_size: int = 0
    out_channels: int = 0
    stride: int = 0
    input_side: int = 0
    weight_bytes: int = 0
    reread_bytes: int = 0
    path: str = ""
    known: bool = True

    @property
    def flops(self) -> int:
        """Floating-point operations: two per MAC."""
        return 2 * self.macs

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return self.read_bytes + self.write_bytes


class Operand(NamedTuple):
    """A tensor an operator reads or writes: its shape (distinct elements only) and number format."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def bytes(self) -> int:
        """Bytes of all elements."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]
