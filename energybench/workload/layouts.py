"""In which memory layout does a convolution return? On meta tensors it forgets; devices keep channels last.

The layout decides which copies follow: a linear layer behind channels-last maps needs none. PyTorch's convolutions
return contiguous tensors on meta (2.13: "the correct format cannot be determined here"), while cuDNN and oneDNN return
channels-last ones where input or weight are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

_OPERANDS: Mapping[str, slice] = {"convolution": slice(0, 2), "convolution_backward": slice(1, 3)}
"""Which arguments are the input and the weight."""


def as_laid_out_on_devices(function: torch._ops.OpOverload, arguments: Sequence[Any], result: Any) -> Any:
    """The meta result of an operator, in the layout that devices would return it in.

    Source: ``cudnn_conv_suggest_memory_format`` and ``mkldnn_conv_use_channels_last`` of PyTorch's ConvUtils.h.
    """
    operands = _OPERANDS.get(function.overloadpacket.__name__)
    if operands is None:
        return result
    layouts = {suggest_memory_format(tensor) for tensor in arguments[operands]}
    wanted = layouts & {torch.channels_last, torch.channels_last_3d}
    return _converted(result, wanted.pop()) if wanted else result


def _converted(result: Any, layout: torch.memory_format) -> Any:
    """Every tensor of more than one axis (a bias has one) in ``layout``."""
    if isinstance(result, Tensor):
        return result.to(memory_format=layout) if result.dim() > 1 else result
    return tuple(None if item is None else _converted(item, layout) for item in result)
