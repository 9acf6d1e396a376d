"""Can a kernel that is written in Triton run here? Its module, loaded when it is first needed, or why there is none."""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor

from energybench.errors import UnsupportedError


def hand_written(module: str, x: Tensor, what: str) -> Any:
    """A module of ``energybench.layers`` that holds Triton kernels, where they can run on ``x``.

    Args:
        module: its name; it has ``INTERPRETED``, whether Triton's interpreter stands in for a GPU.
        x: what the kernel is to work on.
        what: the work in words, for the reason.

    Raises:
        UnsupportedError: Triton is not installed, or it has no kernels for this device.
    """
    try:
        kernels = importlib.import_module(f"energybench.layers.{module}")
    except ImportError as error:
        raise UnsupportedError(
            f"{what} is a Triton kernel, and Triton is not installed", remedy="pip install 'energybench[triton]'"
        ) from error
    if x.device.type != "cuda" and not kernels.INTERPRETED:
        raise UnsupportedError(f"{what} is a Triton kernel for CUDA GPUs; there is none for {x.device.type}")
    return kernels
