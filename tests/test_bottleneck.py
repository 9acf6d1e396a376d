"""Bottlenecks around any spatial layer (zoo_conv.md, entry 11)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from energybench.layers.bottleneck import PfBottleneck, spatial_layer
from energybench.workload.trace import trace

KINDS = ["standard", "depthwise", "avg", "max", "hybrid"]


def spatial_operators(kind: str, stride: int) -> list:
    with torch.device("meta"):
        layer, x = spatial_layer(64, kind, stride=stride), torch.empty(2, 64, 56, 56)
    return list(trace(layer, [x], training=False).operators)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kind", "taps"), [("standard", 9 * 64), ("depthwise", 9), ("avg", 0), ("max", 0)])
def test_the_spatial_layer_has_the_macs_of_the_entry(kind, taps, stride):
    assert sum(op.macs for op in spatial_operators(kind, stride)) == 2 * 64 * (56 // stride) ** 2 * taps


def test_max_pooling_reads_and_writes_every_element_and_the_indices_it_does_not_need():
    (pooling,) = spatial_operators("max", 1)
    elements = 2 * 64 * 56 * 56
    assert (pooling.family, pooling.read_bytes) == ("pooling", 4 * elements)
    # PyTorch's kernel writes the places of the maxima as well, eight bytes each.
    assert pooling.write_bytes == (4 + 8) * elements


def test_hybrid_pools_at_stride_one_and_convolves_what_it_averaged_at_stride_two():
    assert [op.name for op in spatial_operators("hybrid", 1)] == ["max_pool2d"]
    names = [op.name for op in spatial_operators("hybrid", 2)]
    assert names == ["avg_pool2d", "conv2d", "batch_norm", "relu"]
    assert spatial_operators("hybrid", 2)[1].macs == 2 * 28 * 28 * 64 * 64 * 9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_is_reduce_spatial_expand_plus_shortcut(kind, stride):
    torch.manual_seed(0)
    block = PfBottleneck(16, 16 * stride, width=4, spatial=kind, stride=stride).double().eval()
    x = torch.randn(2, 16, 10, 10, dtype=torch.float64)

    def normed(y, weight, norm, **how):
        return F.conv2d(y, weight, **how) / (1 + norm.eps) ** 0.5  # statistics of a fresh batch norm are 0 and 1

    y = F.relu(normed(x, block.reduce[0].weight, block.reduce[1]))
    match kind, stride:
        case (("standard" | "depthwise"), _):
            conv, norm, _ = block.spatial
            y = F.relu(normed(y, conv.weight, norm, stride=stride, padding=1, groups=conv.groups))
        case "avg", _:
            y = F.conv2d(y, torch.full((4, 1, 3, 3), 1 / 9, dtype=torch.float64), stride=stride, padding=1, groups=4)
        case "hybrid", 2:
            conv, norm, _ = block.spatial[1]
            y = y.unflatten(2, (5, 2)).unflatten(4, (5, 2)).mean((3, 5))
            y = F.relu(normed(y, conv.weight, norm, padding=1))
        case _:
            patches = F.pad(y, (1, 1, 1, 1), value=-torch.inf).unfold(2, 3, stride).unfold(3, 3, stride)
            y = patches.amax((4, 5))
    shortcut = x
    if stride == 2:
        shortcut = normed(x, block.shortcut[0].weight, block.shortcut[1], stride=2)
    y = F.relu(normed(y, block.expand[0].weight, block.expand[1]) + shortcut)
    torch.testing.assert_close(block(x), y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind):
    torch.manual_seed(0)
    block = PfBottleneck(6, 6, width=3, spatial=kind).double().eval()
    assert torch.autograd.gradcheck(block, (torch.randn(1, 6, 4, 4, dtype=torch.float64, requires_grad=True),))


def test_an_unknown_spatial_layer_is_refused():
    with pytest.raises(ValueError, match="spatial='median' is none of standard, depthwise, avg, max, hybrid"):
        PfBottleneck(8, 8, width=4, spatial="median")
