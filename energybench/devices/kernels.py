"""Which kernels show what a machine can do? Those that `machines measure` loops and that no layer stands for.

They are named to the run like a plugin file (``measure_machine.KERNELS``): no suite can ask for them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
