"""Residual blocks: their algebra in float64, the published counts and the identities of zoo_conv.md, entry 3."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energybench.layers.residual_blocks import (
    ConvFirst2d,
    ConvNeXtBlock2d,
    FusedMBConv2d,
    MBConv2d,
    MLPBlock2d,
)
from energybench.workload.trace import trace

COUNTS = [  # block, side of the map, parameters with batch norms, billions of MACs an image: zoo_conv.md, entry 3
    (lambda: ConvFirst2d(64, expansion=6), 64, 54_784, 0.2202),
    (lambda: MBConv2d(64, expansion=6, group_size=8), 64, 78_464, 0.3146),
    (lambda: MBConv2d(64, expansion=6, group_size=1), 64, 54_272, 0.2155),
    (lambda: FusedMBConv2d(64, expansion=4), 64, 164_480, 0.6711),
    (lambda: MBConv2d(256, expansion=4, group_size=8), 16, 602_624, 0.1531),
    (lambda: ConvFirst2d(256, expansion=4), 16, 545_792, 0.1389),
    (lambda: FusedMBConv2d(256, expansion=4), 16, 2_624_000, 0.6711),
]

BLOCKS = [
    lambda **kw: ConvFirst2d(8, expansion=2, group_size=4, **kw),
    lambda **kw: MBConv2d(4, expansion=3, group_size=1, **kw),
    lambda **kw: MBConv2d(4, expansion=2, group_size=4, kernel_size=5, **kw),
    lambda **kw: FusedMBConv2d(4, expansion=2, **kw),
    lambda **kw: MLPBlock2d(4, expansion=3, **kw),
]


def macs_and_operators(module: nn.Module, *shape: int):
    operators = trace(module.to("meta"), [torch.empty(shape, device="meta")], training=False).operators
    return sum(op.macs for op in operators), operators


def spatial(x: Tensor, weight: Tensor) -> Tensor:
    """A grouped "same" convolution tap by tap: the input shifted, each group's channels mixed by a matrix."""
    K, G, R, _ = weight.shape
    N, C, H, W = x.shape
    padded = F.pad(x, [R // 2] * 4)
    y = torch.zeros(N, K, H, W, dtype=x.dtype)
    g = C // G
    for r in range(R):
        for s in range(R):
            shifted = padded[:, :, r : r + H, s : s + W].reshape(N, g, G, H, W)
            mixed = torch.einsum("ngihw,goi->ngohw", shifted, weight[:, :, r, s].reshape(g, K // g, G))
            y += mixed.reshape(N, K, H, W)
    return y


def mixed(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("nchw,kc->nkhw", x, weight.reshape(weight.shape[:2]))


def normed(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    column = lambda v: v.reshape(-1, 1, 1)  # noqa: E731
    x = (x - column(norm.running_mean)) / torch.sqrt(column(norm.running_var) + norm.eps)
    return x * column(norm.weight) + column(norm.bias)


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def by_hand(block: nn.Module, x: Tensor) -> Tensor:
    layer = {name: child for name, child in block.named_children() if isinstance(child, nn.Sequential)}
    conv = lambda y: normed(spatial(y, layer["conv"][0].weight), layer["conv"][1])  # noqa: E731
    expand_ = lambda y: silu(normed(mixed(y, layer["expand"][0].weight), layer["expand"][1]))  # noqa: E731
    project = lambda y: normed(mixed(y, layer["project"][0].weight), layer["project"][1])  # noqa: E731
    if isinstance(block, ConvFirst2d):
        return project(expand_(conv(x))) + x
    if isinstance(block, MBConv2d):
        return project(silu(conv(expand_(x)))) + x
    if isinstance(block, FusedMBConv2d):
        return project(silu(conv(x))) + x
    return project(expand_(x)) + x


def lived_in(block: nn.Module) -> nn.Module:
    """The block in float64, its norms with statistics and weights that are not one and zero."""
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for vector, low in ((norm.running_mean, -1.0), (norm.running_var, 0.5), (norm.weight, 0.5)):
                vector.data.uniform_(low, low + 1)
            norm.bias.data.uniform_(-1, 1)
    return block.double().eval()


@pytest.mark.parametrize(("block", "side", "params", "billions"), COUNTS)
def test_parameters_and_macs_are_those_of_the_specification(block, side, params, billions):
    module = block()
    assert sum(p.numel() for p in module.parameters()) == params
    channels = module.project[0].out_channels
    macs, _ = macs_and_operators(module, 1, channels, side, side)
    assert macs / 1e9 == pytest.approx(billions, abs=5e-5)


def test_macs_per_pixel_follow_the_formulas():
    C, E, G, R, pixels = 32, 4, 8, 3, 7 * 5
    for module, per_pixel in (
        (ConvFirst2d(C, expansion=E, group_size=G), R * R * G * C + 2 * E * C * C),
        (MBConv2d(C, expansion=E, group_size=G), 2 * E * C * C + R * R * G * E * C),
        (FusedMBConv2d(C, expansion=E), R * R * E * C * C + E * C * C),
        (ConvNeXtBlock2d(C), 49 * C + 8 * C * C),
        (MLPBlock2d(C, expansion=E), 2 * E * C * C),
    ):
        assert macs_and_operators(module, 2, C, 7, 5)[0] == 2 * pixels * per_pixel


def test_folded_blocks_move_what_their_layers_and_activations_must():
    C, E, P, N = 16, 4, 64, 2
    for module, planes in (
        # In planes of C: each layer reads and writes, SiLU reads and writes E C, the sum reads two and writes one.
        (ConvFirst2d(C, expansion=E, folded=True), 2 + (1 + E) + 2 * E + (E + 1) + 3),
        (MBConv2d(C, expansion=E, folded=True), (1 + E) + 2 * E + 2 * E + 2 * E + (E + 1) + 3),
        (FusedMBConv2d(C, expansion=E, folded=True), (1 + E) + 2 * E + (E + 1) + 3),
    ):
        _, operators = macs_and_operators(module, N, C, 8, 8)
        weights = sum(p.nbytes for p in module.parameters())
        assert sum(op.bytes for op in operators) == 4 * N * P * C * planes + weights


@pytest.mark.parametrize("make", BLOCKS)
def test_a_block_is_its_algebra(make):
    torch.manual_seed(0)
    block = lived_in(make())
    x = torch.randn(2, block.project[0].out_channels, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(block(x), by_hand(block, x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("make", BLOCKS)
def test_a_folded_block_is_the_block_with_its_norms_multiplied_into_the_weights(make):
    torch.manual_seed(0)
    block, folded = lived_in(make()), make(folded=True).double().eval()
    for name in ("conv", "expand", "project"):
        if not hasattr(block, name):
            continue
        (conv, norm), target = getattr(block, name), getattr(folded, name)
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        target.weight.data = conv.weight * factor.reshape(-1, 1, 1, 1)
        target.bias.data = norm.bias - norm.running_mean * factor
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    x = torch.randn(2, block.project[0].out_channels, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(folded(x), block(x), rtol=1e-11, atol=1e-11)


def test_conv_first_with_a_delta_kernel_is_the_mlp_block():
    torch.manual_seed(0)
    block, mlp = ConvFirst2d(16, expansion=2, folded=True).double(), MLPBlock2d(16, expansion=2, folded=True).double()
    block.conv.weight.data.zero_()
    block.conv.bias.data.zero_()
    for c in range(16):
        block.conv.weight.data[c, c % 8, 1, 1] = 1
    mlp.load_state_dict({k: v for k, v in block.state_dict().items() if not k.startswith("conv")})
    x = torch.randn(2, 16, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x), mlp(x), rtol=0, atol=1e-14)


def test_a_convnext_block_is_its_algebra():
    torch.manual_seed(0)
    block = ConvNeXtBlock2d(6, expansion=2).double()
    block.scale.data.uniform_(0.5, 1.5)
    block.norm.weight.data.uniform_(0.5, 1.5)
    block.norm.bias.data.uniform_(-1, 1)
    x = torch.randn(2, 6, 9, 8, dtype=torch.float64)
    column = lambda v: v.reshape(-1, 1, 1)  # noqa: E731
    y = spatial(x, block.conv.weight) + column(block.conv.bias)
    y = (y - y.mean(1, keepdim=True)) / torch.sqrt(y.var(1, keepdim=True, correction=0) + 1e-6)
    y = y * column(block.norm.weight) + column(block.norm.bias)
    y = mixed(y, block.expand.weight) + column(block.expand.bias)
    y = y * 0.5 * (1 + torch.erf(y / 2**0.5))
    y = column(block.scale) * (mixed(y, block.project.weight) + column(block.project.bias))
    torch.testing.assert_close(block(x), x + y, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("make", [*BLOCKS[:4], lambda: ConvNeXtBlock2d(4, expansion=2, kernel_size=3)])
def test_gradients_are_those_of_finite_differences(make):
    torch.manual_seed(0)
    block = lived_in(make())
    x = torch.randn(1, block.scale.numel() if hasattr(block, "scale") else block.project[0].out_channels, 3, 3)
    assert torch.autograd.gradcheck(block, (x.double().requires_grad_(),))
