"""How is attention traced as it runs on devices? As one kernel forward and one back, its scores never in memory.

On meta tensors the function decomposes into products and a softmax whose T x S scores are written out, which no device
does. Here the decomposition says shapes and errors only; what is counted and held is the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from energybench.cost import OperatorCost
from energybench.cost.attention import Attention, attention_backward_cost, attention_cost
from energybench.cost.kernels import dtype_name, operand

ATTENTION = F.scaled_dot_product_attention
"""The function itself: a trace binds its name to something else while a caller of it runs."""


class Recorder(Protocol):
    """What a trace offers: to leave something out, and to note something instead."""

    def whole(self) -> AbstractContextManager[None]:
        """Neither count nor hold what runs meanwhile."""

    def note(self, line: str, costs: Sequence[OperatorCost], arguments: Any) -> None:
        """Append operators."""


def fused_attention(recorder: Recorder, line: str, args: Sequence[Any], keywords: Mapping[str, Any]) -> Tensor:
    """The result of ``scaled_dot_product_attention(*args, **keywords)``, noted as one kernel, and its gradients as one.

    Raises:
        Exception: whatever the function raises for these shapes.
    """
    named = {
        **dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), args, strict=False)),
        **keywords,
    }
    query, key, value, mask = named["query"], named["key"], named["value"], named.get("attn_mask")
    with recorder.whole(), torch.no_grad():
        shape = ATTENTION(*args, **keywords).shape
    attention = attention_of(query, key, value, mask, causal=bool(named.get("is_causal")))
    recorder.note(line, [attention_cost(attention)], (args, keywords))
    result: Tensor = _Kernel.apply(recorder, line, attention, tuple(shape), query, key, value, mask)  # type: ignore[no-untyped-call]
    return result


class _Kernel(torch.autograd.Function):
    """Takes the memory that a fused kernel takes: the result, and what the way back needs of the scores."""

    @staticmethod
    def forward(
        ctx: Any,
        recorder: Recorder,
        line: str,
        attention: Attention,
        shape: tuple[int, ...],
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        result = _laid_out(shape, query)
        statistics = (
            query.new_empty(attention.statistics_bytes, dtype=torch.uint8) if any(ctx.needs_input_grad) else None
        )
        ctx.save_for_backward(query, key, value, mask, result, statistics)
        ctx.noted = recorder, line, attention
        return result

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        query, key, value, mask, *_rest = ctx.saved_tensors
        recorder, line, attention = ctx.noted
        recorder.note(f"backward {line}", [attention_backward_cost(attention)], (query, key, value, mask))
        wanted = zip((query, key, value, mask), ctx.needs_input_grad[4:], strict=True)
        return None, None, None, None, *(torch.empty_like(x) if needed else None for x, needed in wanted)


def attention_of(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, causal: bool) -> Attention:
    """Attention between tensors of shape [..., heads, T or S, D], or without heads."""
    *batch, heads, T, D = query.shape if query.dim() > 3 else (*query.shape[:-2], 1, *query.shape[-2:])
    return Attention(
        B=torch.Size(batch).numel(),
        heads=heads,
        T=T,
        S=key.shape[-2],
        D=D,
        value_size=value.shape[-1],
        key_heads=key.shape[-3] if query.dim() > 3 else 1,
        mask_bytes=operand(mask).bytes if mask is not None else 0,
        causal=causal,
        dtype=dtype_name(query.dtype),
    )


def _laid_out(shape: tuple[int, ...], query: Tensor) -> Tensor:
    """A result as devices leave it in memory.

    Fused kernels answer queries whose heads lie within their tokens in the same order, so that joining the heads copies
    nothing.
    """
    if query.dim() != 4 or query.stride(1) >= query.stride(2):
        return query.new_empty(shape)
    B, heads, T, D = shape
    return query.new_empty((B, T, heads, D)).transpose(1, 2)
