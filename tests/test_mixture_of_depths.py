"""Mixture-of-Depths blocks and networks: identities and counts of zoo_conv.md, entry 13, and the algebra in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from energybench.layers.mixture_of_depths import BottleneckPair2d, MoDBlock2d
from energybench.networks.resnet_mod import ResNetMoD
from energybench.suite import expand, load_suite
from energybench.workload import build, plan_workload
from energybench.workload.trace import trace

COUNTS = [  # repeats, alternate, millions of parameters, billions of MACs at 224 x 224
    ((3, 4, 6, 3), "MoD", 18.11, 2.562),
    ((4, 6, 10, 4), "MoD", 21.46, 3.218),
    ((5, 7, 11, 5), "MoD", 27.39, 4.092),
    ((3, 4, 6, 3), "standard", 25.56, 4.089),
]


@pytest.mark.parametrize(("repeats", "alternate", "millions", "billions"), COUNTS)
def test_networks_have_the_counts_of_the_specification(repeats, alternate, millions, billions):
    with torch.device("meta"):
        network, x = ResNetMoD(repeats, alternate=alternate), torch.empty(1, 3, 224, 224)
    operators = trace(network, [x], training=False).operators
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=5e-3)
    assert sum(op.macs for op in operators) / 1e9 == pytest.approx(billions, abs=5e-4)
    assert all(op.known for op in operators)


def lived_in(block: nn.Module) -> nn.Module:
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.5, 2)
    return block.double().eval()


def by_hand(block: MoDBlock2d, x: torch.Tensor) -> torch.Tensor:
    """Sample by sample: score, sort, take the best, run the block, add to the first channels."""
    first, last = block.selector[0], block.selector[2]
    out = x.clone()
    for n, sample in enumerate(x):
        hidden = (first.weight @ sample.mean((1, 2)) + first.bias).clamp(min=0)
        scores = 1 / (1 + torch.exp(-(last.weight @ hidden + last.bias)))
        best = scores.argsort(descending=True)[: block.kept]
        y = sample[best]
        for layer in block.block:
            conv, norm = layer[0], layer[1]
            y = F.conv2d(y[None], conv.weight, padding=conv.weight.shape[-1] // 2)[0]
            column = lambda v: v.reshape(-1, 1, 1)  # noqa: E731
            y = (y - column(norm.running_mean)) / torch.sqrt(column(norm.running_var) + norm.eps)
            y = (y * column(norm.weight) + column(norm.bias)).clamp(min=0)
        out[n, : block.kept] += scores[best].reshape(-1, 1, 1) * y
    return out


@pytest.mark.parametrize("gradients", [False, True])
def test_a_block_is_its_algebra_and_leaves_the_other_channels_untouched(gradients):
    torch.manual_seed(0)
    block = lived_in(MoDBlock2d(64, reduction=8))
    x = torch.randn(3, 64, 5, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = by_hand(block, x)
        differing = {tuple(row) for row in block.selector(x.mean((2, 3))).topk(8).indices.sort().values.tolist()}
    assert len(differing) == 3  # every sample has channels of its own
    given = x.clone()
    with torch.set_grad_enabled(gradients):
        found = block(given)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(found[:, 8:], x[:, 8:])
    assert (found.data_ptr() == given.data_ptr()) is not gradients


@pytest.mark.parametrize("choice", ["top-k", "random"])
def test_a_block_of_zeros_changes_nothing(choice):
    block = MoDBlock2d(64, reduction=16, choice=choice).eval()
    for parameter in block.block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 64, 3, 3)
    with torch.no_grad():
        assert torch.equal(block(x.clone()), x)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    block = lived_in(MoDBlock2d(32, reduction=8))
    x = torch.randn(1, 32, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


def test_macs_are_those_of_the_selector_and_a_narrow_bottleneck():
    C, N, P = 256, 2, 7 * 7
    k, q = C // 32, C // 128
    with torch.device("meta"):
        block, x = MoDBlock2d(C, reduction=32), torch.empty(N, C, 7, 7)
    operators = trace(block, [x], training=False).operators
    assert sum(op.macs for op in operators) == N * (2 * C * C // 16) + N * P * (k * q + 9 * q * q + q * k)
    gathered = next(op for op in operators if op.name == "index")
    assert gathered.read_bytes == N * k * P * 4 + N * 8 + N * k * 8  # the planes, and the numbers that pick them


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("second", ["MoD", "random", "standard", "none"])
def test_pairs_run_in_every_format_and_layout(second, dtype):
    torch.manual_seed(0)
    pair = BottleneckPair2d(64, second=second, reduction=16).eval()
    x = torch.randn(2, 64, 6, 6)
    with torch.no_grad():
        expected = pair(x)
        pair = pair.to(dtype=dtype, memory_format=torch.channels_last)
        found = pair(x.to(dtype=dtype, memory_format=torch.channels_last))
    if second != "MoD" or dtype == torch.float32:  # a rounded score may select another channel
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=1e-5 if dtype == torch.float32 else 0.1)
    assert found.shape == x.shape


def test_the_layers_suite_runs_on_numbers():
    cases, _ = expand(load_suite("cnn_mod"), quick=True)
    for case in cases:
        built = build(plan_workload(case), torch.device("cpu"), seed=0)
        built.step(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MoDBlock2d(64, reduction=32), "leave 2 to process"),
        (lambda: MoDBlock2d(64, reduction=8, choice="best"), "neither top-k nor random"),
        (lambda: BottleneckPair2d(64, second="mod"), "none of MoD"),
        (lambda: ResNetMoD((3, 4, 6)), "4 stages"),
        (lambda: ResNetMoD(alternate="Mod"), "none of MoD"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        make()
