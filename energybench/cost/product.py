"""What must a product of matrices do?"""

from __future__ import annotations

from energybench.cost.operator import DTYPE_BYTES, OperatorCost


def linear_cost(
    *,
    rows: int,
    in_features: int,
    out_features: int,
    bias: bool = True,
    dtype: str = "float32",
    path: str = "",
) -> OperatorCost:
    """Cost of ``rows`` vectors of ``in_features`` times an ``out_features`` x ``in_features`` weight."""
    weights = in_features * out_features + (out_features if bias else 0)
    return OperatorCost(
        name="linear",
        family="gemm",
        macs=rows * in_features * out_features,
        read_bytes=(rows * in_features + weights) * DTYPE_BYTES[dtype],
        write_bytes=rows * out_features * DTYPE_BYTES[dtype],
        dtype=dtype,
        out_channels=out_features,
        weight_bytes=weights * DTYPE_BYTES[dtype],
        path=path,
    )


def matmul_cost(
    *, M: int, N: int, K: int, batch: int = 1, addend_elements: int = 0, dtype: str = "float32", path: str = ""
) -> OperatorCost:
    """Cost of ``batch`` products of an M x K by a K x N matrix, plus an addend of ``addend_elements`` in all."""
    read = batch * (M * K + K * N) + addend_elements
    return OperatorCost(
        name="matmul",
        family="gemm",
        macs=batch * M * N * K,
        read_bytes=read * DTYPE_BYTES[dtype],
        write_bytes=batch * M * N * DTYPE_BYTES[dtype],
        dtype=dtype,
        out_channels=N,
        path=path,
    )
