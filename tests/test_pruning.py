"""What a pruned layer keeps: the largest, exactly as many as the shapes say, and what it keeps is where it was."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.layers.pruning import compressed_rows, kept_columns, kept_count, two_of_four


def dense(starts, columns, values, shape, block):
    """The matrix that compressed sparse rows stand for, written out square by square."""
    whole = torch.zeros(shape)
    for row in range(len(starts) - 1):
        for i in range(starts[row], starts[row + 1]):
            r, c = row * block, int(columns[i]) * block
            whole[r : r + block, c : c + block] = values[i]
    return whole


@settings(max_examples=40, deadline=None)
@given(K=st.integers(1, 6), C=st.integers(1, 6), block=st.sampled_from([1, 2, 4]), sparsity=st.floats(0, 0.99))
def test_compressed_rows_hold_the_largest_squares_where_they_were(K, C, block, sparsity):
    weight = torch.randn(K * block, C * block, generator=torch.Generator().manual_seed(K * 7 + C))
    starts, columns, values = compressed_rows(weight, sparsity, block)
    whole = dense(starts, columns, values, weight.shape, block)
    kept = whole != 0
    assert kept.sum() == kept_count(K * C, sparsity) * block**2
    assert torch.equal(whole[kept], weight[kept])
    norms = weight.abs().reshape(K, block, C, block).sum((1, 3))
    chosen = kept.reshape(K, block, C, block)[:, 0, :, 0]
    assert chosen.all() or norms[chosen].min() >= norms[~chosen].max()


def test_a_block_of_rows_keeps_the_same_columns_and_every_block_as_many():
    weight = torch.randn(16, 10, generator=torch.Generator().manual_seed(0))
    columns, values = kept_columns(weight, 0.7, 4)
    assert columns.shape == (4, 3)
    assert values.shape == (4, 4, 3)
    for b in range(4):
        rows = weight[4 * b : 4 * b + 4]
        best = rows.abs().sum(0).argsort(descending=True)[:3].sort().values
        assert torch.equal(columns[b], best)
        assert torch.equal(values[b], rows[:, best])


def test_two_of_every_four_are_kept_and_they_are_the_largest():
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
    pruned = two_of_four(weight).reshape(-1, 4)
    fours = weight.reshape(-1, 4)
    assert ((pruned != 0).sum(1) == 2).all()
    assert torch.equal(pruned[pruned != 0], fours[pruned != 0])
    assert (fours.abs().masked_fill(pruned == 0, torch.inf).amin(1) >= pruned.eq(0).mul(fours.abs()).amax(1)).all()


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan")])
def test_a_sparsity_that_is_no_share_of_zeros_is_refused(sparsity):
    with pytest.raises(ValueError, match="share of zeros"):
        kept_count(100, sparsity)


def test_something_is_always_kept():
    assert kept_count(10, 0.99) == 1
