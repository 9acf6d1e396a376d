"""Which weights does a pruned layer keep? Those of largest magnitude, as many as shapes alone decide."""

from __future__ import annotations

import torch
from torch import Tensor


def kept_count(total: int, sparsity: float) -> int:
    """How many of ``total`` are kept when a share of ``sparsity`` is zero: the nearest number, one at least.

    Raises:
        ValueError: ``sparsity`` is not in [0, 1).
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity={sparsity} is the share of zeros: at least 0, below 1")
    return max(1, round((1 - sparsity) * total))


def compressed_rows(weight: Tensor, sparsity: float, block: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Compressed sparse rows of ``weight`` (K x C), its largest ``block`` x ``block`` squares by their L1 norm.

    Returns:
        Where each row of squares starts (K / block + 1), the column of each kept square, both 32-bit, and the kept
        values: one number each where ``block`` is 1 (CSR), else block x block each (BSR).

    Source: magnitude pruning per block, Elsen et al., Fast Sparse ConvNets (arXiv 1911.09723), section 3.
    """
    K, C = weight.shape
    squares = weight.reshape(K // block, block, C // block, block).transpose(1, 2)
    norms = squares.abs().sum((2, 3)).flatten()
    kept = norms.topk(kept_count(norms.numel(), sparsity)).indices.sort().values
    edges = torch.arange(K // block + 1, device=weight.device) * (C // block)
    starts = torch.searchsorted(kept, edges).to(torch.int32)
    values = squares.reshape(-1, block, block)[kept]
    return starts, (kept % (C // block)).to(torch.int32), values.flatten() if block == 1 else values.contiguous()


def kept_columns(weight: Tensor, sparsity: float, block: int) -> tuple[Tensor, Tensor]:
    """The columns that each block of ``block`` consecutive rows of ``weight`` (K x C) keeps, and their values.

    Every block of rows keeps equally many (ours: so that the blocks are one batched product), those of largest L1
    norm.

    Returns:
        Columns, K / block x kept, and values, K / block x block x kept.

    Source: blocks of m x 1, m output channels that share their input channels, Elsen et al., Fast Sparse ConvNets
    (arXiv 1911.09723), section 3.
    """
    K, C = weight.shape
    rows = weight.reshape(K // block, block, C)
    columns = rows.abs().sum(1).topk(kept_count(C, sparsity)).indices.sort().values
    values = rows.gather(2, columns[:, None, :].expand(-1, block, -1))
    return columns, values.contiguous()


def two_of_four(weight: Tensor) -> Tensor:
    """``weight`` (K x C) with the two smallest of every four consecutive numbers of a row set to zero.

    Source: Mishra et al., Accelerating Sparse Deep Neural Networks (arXiv 2104.08378), section 3.
    """
    fours = weight.reshape(-1, 4)
    kept = fours.abs().topk(2, dim=1).indices
    return torch.zeros_like(fours).scatter(1, kept, fours.gather(1, kept)).reshape(weight.shape)
