"""GroupConv2d against the definition of a group convolution."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from energybench.layers.group_conv import GroupConv2d, number_of_groups


def as_dense(layer: GroupConv2d) -> torch.Tensor:
    """The K x C x R x S filter that does the same as the layer's grouped one: zero between different groups."""
    K, G = layer.weight.shape[:2]
    dense = torch.zeros(K, layer.in_channels, *layer.weight.shape[2:], dtype=layer.weight.dtype)
    for k in range(K):
        group = k // (K // layer.groups)
        dense[k, group * G : (group + 1) * G] = layer.weight[k]
    return dense


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "arguments",
    [
        {"channels": 12, "groups": 3},
        {"channels": 12, "group_size": 3},
        {"in_channels": 12, "out_channels": 8, "group_size": 6, "bias": True, "kernel_size": 5},
        {"channels": 12, "groups": 12, "kernel_size": 1},
    ],
)
def test_it_equals_the_dense_convolution_with_zeros_between_groups(arguments, stride):
    torch.manual_seed(0)
    layer = GroupConv2d(**arguments, stride=stride).double()
    x = torch.randn(2, 12, 9, 9, dtype=torch.float64)
    expected = F.conv2d(x, as_dense(layer), layer.bias, stride=stride, padding=layer.padding)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_its_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    layer = GroupConv2d(4, 3, group_size=2, stride=2).double()
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().requires_grad_()
    run = lambda x, w: F.conv2d(x, w, stride=layer.stride, padding=layer.padding, groups=layer.groups)  # noqa: E731
    torch.testing.assert_close(run(x, weight), layer(x))
    assert torch.autograd.gradcheck(run, (x, weight))
    assert torch.autograd.gradcheck(layer, (x,))


def test_output_keeps_the_size_and_stride_halves_it():
    x = torch.randn(1, 8, 14, 14)
    assert GroupConv2d(8, 3, groups=2)(x).shape == (1, 8, 14, 14)
    assert GroupConv2d(8, 5, groups=2, stride=2)(x).shape == (1, 8, 7, 7)


def test_group_size_one_is_depthwise_and_one_group_is_dense():
    assert GroupConv2d(8, group_size=1).groups == GroupConv2d(8, groups=8).groups == 8
    assert GroupConv2d(8, groups=1).weight.shape == GroupConv2d(8, group_size=8).weight.shape == (8, 8, 3, 3)


def test_group_size_counts_input_channels():
    assert number_of_groups(12, groups=None, group_size=4) == 3
    assert GroupConv2d(in_channels=12, out_channels=6, group_size=4).weight.shape == (6, 4, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 8}, "exactly one of groups"),
        ({"channels": 8, "groups": 2, "group_size": 4}, "exactly one of groups"),
        ({"channels": 8, "groups": 3}, "groups=3 does not divide 8"),
        ({"channels": 8, "group_size": 0}, "group_size=0 does not divide 8"),
        ({"in_channels": 8, "out_channels": 6, "groups": 4}, "4 groups do not divide the 6 output"),
        ({"channels": 8, "in_channels": 8, "groups": 2}, "not both"),
        ({"in_channels": 8, "groups": 2}, "both in_channels and out_channels"),
        ({"channels": 8, "groups": 2, "kernel_size": 4}, "even"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupConv2d(**arguments)
