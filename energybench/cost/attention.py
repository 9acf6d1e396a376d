"""What must fused attention do, on the way forward and back? Closed forms; its scores never leave the chip."""

from __future__ import annotations

from dataclasses import dataclass, replace

from energybench.cost import DTYPE_BYTES, OperatorCost

STATISTICS_BYTES = 4
"""Of each query and head: the logarithm of its scores' sum, in float32, kept for the way back."""


@dataclass(frozen=True)
class Attention:
    """Scaled dot-product attention of T queries over S keys of D features, in ``heads`` heads.

    Attributes:
        B: batch.
        heads: query heads.
        T: queries.
        S: keys and values.
        D: features of a query and of a key in one head.
        value_size: features of a value in one head; D where not given.
        key_heads: heads of keys and values; ``heads`` where not given (fewer in grouped-query attention).
        mask_bytes: bytes of an explicit mask or bias.
        causal: query i sees keys 0 to i only; the rest is not computed, as kernels skip it block by block.
        dtype: number format.
    """

    B: int
    heads: int
    T: int
    S: int
    D: int
    value_size: int | None = None
    key_heads: int | None = None
    mask_bytes: int = 0
    causal: bool = False
    dtype: str = "float32"

    @property
    def scores(self) -> int:
        """Pairs of a query and a key that are scored, over batch and heads."""
        seen = min(self.T, self.S)
        pairs = seen * (seen + 1) // 2 + (self.T - seen) * self.S if self.causal else self.T * self.S
        return self.B * self.heads * pairs

    @property
    def values(self) -> int:
        """Features of a value."""
        return self.D if self.value_size is None else self.value_size

    @property
    def query_bytes(self) -> int:
        """Bytes of the queries."""
        return self.B * self.heads * self.T * self.D * DTYPE_BYTES[self.dtype]

    @property
    def key_bytes(self) -> int:
        """Bytes of keys and values."""
        heads = self.heads if self.key_heads is None else self.key_heads
        return self.B * heads * self.S * (self.D + self.values) * DTYPE_BYTES[self.dtype]

    @property
    def output_bytes(self) -> int:
        """Bytes of the result."""
        return self.B * self.heads * self.T * self.values * DTYPE_BYTES[self.dtype]

    @property
    def statistics_bytes(self) -> int:
        """Bytes that the way back needs besides inputs and result."""
        return self.B * self.heads * self.T * STATISTICS_BYTES


def attention_cost(attention: Attention) -> OperatorCost:
    """One kernel: scores = queries x keys, result = softmax(scores) x values."""
    return OperatorCost(
        name="attention",
        family="gemm",
        macs=attention.scores * (attention.D + attention.values),
        read_bytes=attention.query_bytes + attention.key_bytes + attention.mask_bytes,
        write_bytes=attention.output_bytes,
        dtype=attention.dtype,
        path="",
    )


def attention_backward_cost(attention: Attention) -> OperatorCost:
    """One kernel on the way back: five products, because the scores are computed again instead of being kept.

    Scores again, and the gradients of queries and of keys, over D features; gradients of the probabilities and of the
    values over those of a value. Reads what the forward pass read, its result with the result's gradient and the kept
    statistics; writes a gradient for queries, keys and values.

    Source: T. Dao et al., "FlashAttention", NeurIPS 2022, algorithm 4.
    """
    forward = attention_cost(attention)
    return replace(
        forward,
        name="attention_backward",
        macs=attention.scores * (3 * attention.D + 2 * attention.values),
        read_bytes=forward.read_bytes + 2 * attention.output_bytes + attention.statistics_bytes,
        write_bytes=attention.query_bytes + attention.key_bytes,
    )
