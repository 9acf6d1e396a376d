"""InceptionDWConv2d against the single large depthwise convolution it stands for (zoo_conv.md, entry 2)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from energybench.cost import Operand, conv2d_cost, copy_cost
from energybench.layers.inception_dw import InceptionDWConv2d, MetaNeXtBlock2d
from energybench.workload.trace import trace


@torch.no_grad()
def as_one_filter(layer: InceptionDWConv2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight C x 1 x band x band and bias of the depthwise convolution that does the same: deltas, squares, bands."""
    band = layer.horizontal.weight.shape[-1]
    half, channels = band // 2, sum(layer.split)
    weight = torch.zeros(channels, 1, band, band, dtype=layer.square.weight.dtype)
    weight[: layer.split[0], 0, half, half] = 1.0
    square, horizontal, vertical = torch.split(weight[layer.split[0] :], layer.split[1:])
    reach = layer.square.weight.shape[-1] // 2
    square[:, :, half - reach : half + reach + 1, half - reach : half + reach + 1] = layer.square.weight
    horizontal[:, :, half, :] = layer.horizontal.weight[:, :, 0, :]
    vertical[:, :, :, half] = layer.vertical.weight[:, :, :, 0]
    biases = [conv.bias for conv in (layer.square, layer.horizontal, layer.vertical)]
    return weight, torch.cat([weight.new_zeros(layer.split[0]), *biases])


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("channels", "arguments"),
    [(16, {}), (20, {"branch_ratio": 0.25, "band_kernel_size": 9}), (12, {"branch_ratio": 1 / 3})],
)
def test_it_equals_one_depthwise_convolution_with_zeros_outside_square_and_bands(channels, arguments, in_place):
    torch.manual_seed(0)
    layer = InceptionDWConv2d(channels, in_place=in_place, **arguments).double()
    x = torch.randn(2, channels, 13, 15, dtype=torch.float64)
    weight, bias = as_one_filter(layer)
    expected = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=channels)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_in_place_the_output_is_the_input_and_identity_channels_are_not_written():
    layer = InceptionDWConv2d(16, in_place=True)
    x = torch.randn(1, 16, 8, 8)
    before = x.clone()
    with torch.no_grad():
        y = layer(x)
    assert y.data_ptr() == x.data_ptr()
    assert torch.equal(y[:, :10], before[:, :10])
    assert not torch.equal(y[:, 10:], before[:, 10:])


def branches(N: int, C: int, H: int, W: int) -> list:
    gc = C // 8
    return [
        conv2d_cost(N=N, C=gc, H=H, W=W, K=gc, R=R, S=S, groups=gc, padding=(R // 2, S // 2), bias=True)
        for R, S in ((3, 3), (1, 11), (11, 1))
    ]


def test_its_trace_is_three_depthwise_convolutions_and_a_concatenation():
    N, C, H, W = 2, 96, 7, 7
    with torch.device("meta"):
        layer, x = InceptionDWConv2d(C), torch.empty(N, C, H, W)
    gc, convs = C // 8, branches(N, C, H, W)
    parts = [Operand((N, channels, H, W)) for channels in (C - 3 * gc, gc, gc, gc)]
    concatenation = copy_cost(inputs=parts, outputs=[Operand((N, C, H, W))], name="concatenate")
    operators = trace(layer, [x], training=False).operators
    found = [(op.name, op.family, op.macs, op.read_bytes, op.write_bytes) for op in operators]
    assert found == [(op.name, op.family, op.macs, op.read_bytes, op.write_bytes) for op in [*convs, concatenation]]
    assert sum(op.macs for op in operators) == N * H * W * C * 31 // 8  # 3.875 a channel and pixel
    assert sum(p.numel() for p in layer.parameters()) == gc * 34


def test_in_place_moves_three_eighths_of_the_tensor_twice():
    N, C, H, W = 2, 96, 7, 7
    with torch.device("meta"):
        layer, x = InceptionDWConv2d(C, in_place=True), torch.empty(N, C, H, W)
    weights = 4 * (C // 8) * 34
    moved = sum(op.bytes for op in trace(layer, [x], training=False).operators) - weights
    # Through the convolutions and back over the input: read and written twice each.
    assert moved == 2 * 2 * 4 * N * H * W * C * 3 // 8


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    layer = InceptionDWConv2d(8, band_kernel_size=5).double()
    assert torch.autograd.gradcheck(layer, (torch.randn(1, 8, 4, 4, dtype=torch.float64, requires_grad=True),))


def test_a_metanext_block_is_its_parts_in_a_row():
    torch.manual_seed(0)
    block = MetaNeXtBlock2d(16, expansion=3).double().eval()
    torch.nn.init.normal_(block.scale)
    block.norm.running_mean.normal_()
    block.norm.running_var.uniform_(0.5, 2.0)
    x = torch.randn(2, 16, 12, 12, dtype=torch.float64)
    weight, bias = as_one_filter(block.mixer)
    y = F.conv2d(x, weight, bias, padding=5, groups=16)
    y = (y - block.norm.running_mean.view(-1, 1, 1)) / (block.norm.running_var.view(-1, 1, 1) + 1e-5).sqrt()
    y = torch.einsum("kc,nchw->nkhw", block.expand.weight.flatten(1), y) + block.expand.bias.view(-1, 1, 1)
    y = 0.5 * y * (1 + torch.erf(y / 2**0.5))
    y = torch.einsum("kc,nchw->nkhw", block.project.weight.flatten(1), y) + block.project.bias.view(-1, 1, 1)
    torch.testing.assert_close(block(x), x + block.scale * y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("channels", "arguments", "message"),
    [
        (7, {}, "branch_ratio=0.125 of 7 channels"),
        (16, {"branch_ratio": 0.4}, "leaves no three branches"),
        (16, {"band_kernel_size": 10}, "must be odd"),
        (16, {"square_kernel_size": 2}, "must be odd"),
    ],
)
def test_what_cannot_be_meant_is_refused(channels, arguments, message):
    with pytest.raises(ValueError, match=message):
        InceptionDWConv2d(channels, **arguments)
