"""DiCo's block against its formula (zoo_conv.md, entry 12)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from energybench.layers.dico import CompactChannelAttention2d, DiCoBlock2d, DiCoConv2d
from energybench.workload.trace import trace


def gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.erf(x / 2**0.5))


def normed(x: torch.Tensor) -> torch.Tensor:
    mean, variance = x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-6).sqrt()


def conv_by_formula(layer: DiCoConv2d, u: torch.Tensor, *, attention: bool) -> torch.Tensor:
    u = F.conv2d(u, layer.enter.weight, layer.enter.bias)
    u = gelu(F.conv2d(u, layer.spatial.weight, layer.spatial.bias, padding=1, groups=u.shape[1]))
    if attention:
        gate = layer.attention.gate
        means = u.sum((2, 3)) / u[0, 0].numel()
        u = u * (1 / (1 + torch.exp(-(means @ gate.weight.flatten(1).T + gate.bias))))[:, :, None, None]
    return F.conv2d(u, layer.leave.weight, layer.leave.bias)


@pytest.mark.parametrize("attention", [True, False])
def test_a_block_is_its_formula(attention):
    torch.manual_seed(0)
    block = DiCoBlock2d(6, expansion=3, attention=attention).double()
    x, c = torch.randn(2, 6, 5, 4, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    linear = block.modulation[1]
    parts = (c / (1 + torch.exp(-c))) @ linear.weight.T + linear.bias
    sh1, sc1, g1, sh2, sc2, g2 = (parts[:, 6 * i : 6 * (i + 1), None, None] for i in range(6))
    y = x + g1 * conv_by_formula(block.conv, normed(x) * (1 + sc1) + sh1, attention=attention)
    v = normed(y) * (1 + sc2) + sh2
    v = gelu(F.conv2d(v, block.feed[0].weight, block.feed[0].bias))
    y = y + g2 * F.conv2d(v, block.feed[2].weight, block.feed[2].bias)
    torch.testing.assert_close(block(x, c), y, rtol=1e-11, atol=1e-11)


def test_with_gates_of_zero_a_block_hands_its_input_on():
    block = DiCoBlock2d(8)
    with torch.no_grad():
        block.modulation[1].weight.zero_()
        block.modulation[1].bias.zero_()
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x, torch.randn(2, 8)), x)


def macs_of(module: torch.nn.Module, *shapes: tuple[int, ...]) -> int:
    operators = trace(
        module.to("meta"), [torch.empty(shape, device="meta") for shape in shapes], training=False
    ).operators
    assert all(op.known for op in operators)
    return sum(op.macs for op in operators)


def test_macs_are_those_of_the_entry():
    N, C, P, r = 3, 32, 8 * 8, 2
    gate, modulation = N * C**2, N * 6 * C**2
    x, c = (N, C, 8, 8), (N, C)
    assert macs_of(DiCoBlock2d(C, expansion=r), x, c) == N * P * (2 * C**2 + 9 * C + 2 * r * C**2) + gate + modulation
    assert macs_of(DiCoConv2d(C), x) == N * P * (2 * C**2 + 9 * C) + gate
    assert macs_of(DiCoConv2d(C, attention=False), x) == N * P * (2 * C**2 + 9 * C)
    assert macs_of(CompactChannelAttention2d(C), x) == gate


def test_a_block_has_the_parameters_of_its_layers():
    C, r = 16, 2
    block = DiCoBlock2d(C, expansion=r)
    # Three C x C layers with the attention's, one depthwise, two of the expansion, six vectors of modulation; biases.
    expected = 3 * (C**2 + C) + 10 * C + 2 * r * C**2 + (r + 1) * C + 6 * (C**2 + C)
    assert sum(p.numel() for p in block.parameters()) == expected


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    block = DiCoBlock2d(3).double()
    x, c = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((1, 3, 3, 3), (1, 3)))
    assert torch.autograd.gradcheck(block, (x, c))
