"""The training form of large depthwise convolutions equals the single one they merge into (zoo_conv.md, entry 9)."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from energybench.layers.dilated_reparam import BRANCHES, DilatedReparamBlock2d, folded, merged_reparam, stuffed
from energybench.layers.squeeze_excite import SqueezeExcite2d
from energybench.layers.unireplknet import GlobalResponseNorm, UniRepLKNetBlock2d, deployed_block
from energybench.workload.trace import trace


def with_history(module: nn.Module) -> nn.Module:
    """In double precision and evaluation, with every number a training could have changed drawn at random."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double().eval()


def macs(module: nn.Module, *shape: int) -> int:
    operators = trace(module.to("meta"), [torch.empty(shape, device="meta")], training=False).operators
    assert all(operator.known for operator in operators)
    return sum(operator.macs for operator in operators)


@pytest.mark.parametrize("dilation", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("side", [3, 5, 7])
def test_a_dilated_filter_is_exactly_a_larger_one_with_zeros_between_its_taps(side, dilation):
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randint(-9, 9, shape, generator=generator).double() for shape in ((2, 4, 17, 15), (4, 1, side, side))
    )
    span = dilation * (side - 1) + 1
    wide = stuffed(weight, dilation)
    assert wide.shape == (4, 1, span, span)
    expected = F.conv2d(x, weight, padding=span // 2, dilation=dilation, groups=4)
    assert torch.equal(F.conv2d(x, wide, padding=span // 2, groups=4), expected)


@pytest.mark.parametrize("kernel_size", list(BRANCHES))
def test_the_training_form_equals_the_merged_one(kernel_size):
    block = with_history(DilatedReparamBlock2d(4, kernel_size))
    x = torch.randn(2, 4, 19, 20, dtype=torch.float64)
    merged = merged_reparam(block)
    assert (merged.kernel_size, merged.groups) == ((kernel_size, kernel_size), 4)
    torch.testing.assert_close(merged(x), block(x), rtol=1e-11, atol=1e-11)


def test_a_merged_filter_reaches_no_further_than_the_large_one():
    for kernel_size, branches in BRANCHES.items():
        assert all(dilation * (side - 1) + 1 <= kernel_size for side, dilation in branches)


def test_macs_of_both_forms_at_13():
    block = DilatedReparamBlock2d(8, 13)
    taps = 169 + 25 + 49 + 9 + 9 + 9
    assert macs(merged_reparam(block), 2, 8, 14, 14) == 2 * 8 * 14 * 14 * 169
    assert sum(p.numel() for p in block.parameters()) == 8 * (taps + 6 * 2)
    assert macs(block, 2, 8, 14, 14) == 2 * 8 * 14 * 14 * taps


@pytest.mark.parametrize("kernel_size", [3, 13])
def test_a_deployed_block_equals_the_trained_one(kernel_size):
    block = with_history(UniRepLKNetBlock2d(8, kernel_size, deployed=False))
    x = torch.randn(2, 8, 14, 15, dtype=torch.float64)
    deployed = deployed_block(block)
    torch.testing.assert_close(deployed(x), block(x), rtol=1e-10, atol=1e-10)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in deployed.modules())
    with pytest.raises(ValueError, match="already deployed"):
        deployed_block(deployed)


def test_macs_of_a_block_are_those_of_the_entry():
    C, N, P = 16, 2, 14 * 14
    gate = N * C * (C // 4) * 2  # C^2 / 2 an image
    assert macs(UniRepLKNetBlock2d(C, 13), N, C, 14, 14) == N * P * (169 * C + 8 * C**2) + gate


def test_the_response_norm_is_its_formula():
    torch.manual_seed(0)
    layer = GlobalResponseNorm(5).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    expected = torch.empty_like(x)
    for n in range(2):
        norms = torch.stack([(x[n, :, :, c] ** 2).sum() ** 0.5 for c in range(5)])
        relative = norms / (norms.sum() / 5 + 1e-6)
        for c in range(5):
            expected[n, :, :, c] = (layer.weight[c] * relative[c] + 1) * x[n, :, :, c] + layer.bias[c]
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_squeeze_and_excitation_is_its_formula():
    torch.manual_seed(0)
    layer = SqueezeExcite2d(8, 2).double()
    x = torch.randn(3, 8, 4, 5, dtype=torch.float64)
    means = x.sum((2, 3)) / 20
    hidden = torch.clamp(means @ layer.squeeze.weight.flatten(1).T + layer.squeeze.bias, min=0)
    gate = 1 / (1 + torch.exp(-(hidden @ layer.excite.weight.flatten(1).T + layer.excite.bias)))
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("deployed", [True, False])
def test_gradients_are_those_of_finite_differences(deployed):
    block = with_history(UniRepLKNetBlock2d(4, 5, deployed=deployed))
    assert torch.autograd.gradcheck(block, (torch.randn(1, 4, 5, 5, dtype=torch.float64, requires_grad=True),))


def test_gradients_of_the_training_form_reach_every_branch():
    block = DilatedReparamBlock2d(4, 13)
    block(torch.randn(2, 4, 14, 14)).square().sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in block.parameters())


def test_what_nobody_published_or_cannot_be_folded_is_refused():
    with pytest.raises(ValueError, match="kernel_size=4 has no published branches; 5, 7"):
        DilatedReparamBlock2d(8, 4)
    with pytest.raises(ValueError, match="depends on its input"):
        folded(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
