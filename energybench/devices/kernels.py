"""Which kernels show what a machine can do? Those that `machines measure` loops and that no layer stands for.

They are named to the run like a plugin file (``measure_machine.KERNELS``): no suite can ask for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from energybench.cost import OperatorCost
from energybench.cost.kernels import dtype_name, kernel_cost

LINE = 32
"""Stretches begin this many elements apart, or a multiple of it: whole cache lines of 128 bytes."""


class StreamCopy(nn.Module):
    """Copies its input into memory it already holds: every element is read once and written once.

    Memory taken anew by every call would be measured with it: on a CPU its pages are zeroed by the system first.

    Args:
        rows: of the input, rows x columns.
        columns: of the input.
    """

    target: Tensor

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.register_buffer("target", torch.empty(rows, columns))

    def forward(self, x: Tensor) -> Tensor:
        """The copy of ``x``."""
        return self.target.copy_(x)


class RepeatedRead(nn.Module):
    """Sums stretches of its input that overlap, so that one kernel reads the same memory many times.

    A stretch is half of the input and begins a little after the one before. A cache that holds the input gives all but
    the first read of it; smaller caches before that one do not, because the same bytes return only a stretch later.

    Args:
        passes: stretches.
    """

    def __init__(self, passes: int) -> None:
        super().__init__()
        self.passes = passes

    def forward(self, x: Tensor) -> Tensor:
        """The sum of every stretch of ``x`` in memory."""
        sums: Tensor = stretch_sums(x, self.passes)
        return sums


@torch.library.custom_op("energybench::stretch_sums", mutates_args=())
def stretch_sums(x: Tensor, passes: int) -> Tensor:
    """Sums of ``passes`` stretches of a contiguous tensor, each half of it; one kernel."""
    length, step = _stretch(x.numel(), passes)
    return x.as_strided((passes, length), (step, 1)).sum(1)


@stretch_sums.register_fake
def _(x: Tensor, passes: int) -> Tensor:
    return x.new_empty(passes)


@kernel_cost("energybench::stretch_sums")
def _(arguments: Sequence[Any], outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """Every element once, as for any operator, and what is read of it again."""
    x, passes = arguments
    length, step = _stretch(x.numel(), passes)
    distinct = (passes - 1) * step + length
    cost = OperatorCost(
        name="stretch_sums",
        family="reduction",
        macs=0,
        read_bytes=distinct * x.element_size(),
        write_bytes=outputs[0].nbytes,
        dtype=dtype_name(x.dtype),
        reread_bytes=(passes * length - distinct) * x.element_size(),
    )
    return (cost,)


def _stretch(elements: int, passes: int) -> tuple[int, int]:
    """Length of a stretch, and how far the next one begins after it, so that the last one ends inside."""
    length = elements // 2
    return length, max(length // passes // LINE * LINE, 1)
