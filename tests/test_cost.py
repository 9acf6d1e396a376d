"""Closed forms against the literature's counts, and against torch's own counter on the way forward."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.cost import (
    DTYPE_BYTES,
    Operand,
    conv2d_cost,
    conv2d_output_size,
    convolution_backward_cost,
    convolution_cost,
    copy_cost,
    elementwise_cost,
    linear_cost,
    matmul_cost,
    normalisation_cost,
    pooling_cost,
    reduction_cost,
)


def group_conv(C: int, size: int, group_size: int, N: int = 1):
    return conv2d_cost(N=N, C=C, H=size, W=size, K=C, R=3, S=3, groups=C // group_size, padding=1)


# e2gc.md section 8, T1: C=128, 28x28, 3x3, batch 1.
T1 = [
    (1, 903_168, 1_152, 4.474318),
    (2, 1_806_336, 2_304, 8.897856),
    (4, 3_612_672, 4_608, 17.596010),
    (8, 7_225_344, 9_216, 34.419512),
    (16, 14_450_688, 18_432, 65.943925),
    (32, 28_901_376, 36_864, 121.655172),
    (64, 57_802_752, 73_728, 210.626866),
    (128, 115_605_504, 147_456, 332.047059),
]


@pytest.mark.parametrize(("group_size", "macs", "params", "intensity"), T1)
def test_a_grouped_convolution_has_the_counts_of_test_vector_t1(group_size, macs, params, intensity):
    cost = group_conv(128, 28, group_size)
    elements = cost.bytes // 4
    assert cost.macs == macs
    assert elements - 200_704 == params  # A = 200,704 activations read and written, the rest are weights
    assert cost.macs / elements == pytest.approx(intensity, abs=5e-7)


def test_intensity_depends_on_group_size_and_not_on_width():
    assert {group_conv(C, 28, 8).macs / group_conv(C, 28, 8).bytes for C in (128, 256, 512)} == {34.41951219512195 / 4}
    fixed_groups = [4 * group_conv(C, 28, C // 32).macs / group_conv(C, 28, C // 32).bytes for C in (128, 256, 512)]
    assert fixed_groups == pytest.approx([17.596010, 34.419512, 65.943925], abs=5e-7)


MOBILENET_V1 = [  # C, input side, stride, repeat: e2gc.md 5.1
    (32, 112, 1, 1),
    (64, 112, 2, 1),
    (128, 56, 1, 1),
    (128, 56, 2, 1),
    (256, 28, 1, 1),
    (256, 28, 2, 1),
    (512, 14, 1, 5),
    (512, 14, 2, 1),
    (1024, 7, 1, 1),
]
RESNEXT_50 = [(128, 56, 1, 3), (256, 28, 1, 4), (512, 14, 1, 6), (1024, 7, 1, 3)]  # e2gc.md 5.2


def total_macs(stages, groups_of) -> float:
    return sum(
        repeat
        * conv2d_cost(N=1, C=C, H=size, W=size, K=C, R=3, S=3, groups=groups_of(C), stride=stride, padding=1).macs
        for C, size, stride, repeat in stages
    )


@pytest.mark.parametrize(
    ("group_size", "millions"), [(1, 17.386), (2, 34.772), (4, 69.544), (8, 139.088), (16, 278.176), (32, 556.351)]
)
def test_mobilenet_layers_of_constant_group_size_have_the_macs_of_table_5_1(group_size, millions):
    assert total_macs(MOBILENET_V1, lambda C: C // group_size) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(("groups", "millions"), [(32, 133.669), (16, 267.338), (8, 534.675)])
def test_mobilenet_layers_of_constant_groups_have_the_macs_of_table_5_1(groups, millions):
    assert total_macs(MOBILENET_V1, lambda _: groups) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(("group_size", "millions"), [(4, 99.348), (8, 198.697), (16, 397.394), (32, 794.788)])
def test_resnext_layers_of_constant_group_size_have_the_macs_of_table_5_2(group_size, millions):
    assert total_macs(RESNEXT_50, lambda C: C // group_size) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(("groups", "millions"), [(8, 924.844), (16, 462.422), (32, 231.211), (64, 115.606)])
def test_resnext_layers_of_constant_groups_have_the_macs_of_table_5_2(groups, millions):
    assert total_macs(RESNEXT_50, lambda _: groups) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(
    ("groups", "kernel", "family"),
    [
        (1, 3, "conv_dense"),
        (1, 1, "conv_pointwise"),
        (4, 3, "conv_grouped"),
        (4, 1, "conv_grouped"),
        (16, 3, "conv_depthwise"),
    ],
)
def test_a_convolution_is_filed_by_its_groups_and_filter(groups, kernel, family):
    cost = conv2d_cost(N=1, C=16, H=8, W=8, K=16, R=kernel, S=kernel, groups=groups)
    assert (cost.family, cost.groups, cost.group_size, cost.kernel_size) == (family, groups, 16 // groups, kernel)


def test_bytes_follow_the_number_format_and_flops_are_two_per_mac():
    single = conv2d_cost(N=2, C=4, H=5, W=5, K=6, R=3, S=3, bias=True)
    half = conv2d_cost(N=2, C=4, H=5, W=5, K=6, R=3, S=3, bias=True, dtype="float16")
    assert single.read_bytes == 4 * (2 * 4 * 25 + 6 * 4 * 9 + 6)
    assert single.write_bytes == 4 * 2 * 6 * 9
    assert single.bytes == 2 * half.bytes
    assert single.flops == 2 * single.macs == 2 * (2 * 9 * 6 * 4 * 9)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="groups=3 must divide"):
        conv2d_cost(N=1, C=16, H=8, W=8, K=16, R=3, S=3, groups=3)


def test_a_filter_larger_than_its_padded_input_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        conv2d_output_size(4, 7, padding=1)


def test_each_gradient_of_a_grouped_convolution_takes_the_macs_of_the_forward_pass():
    # dX[n,c,.] sums K/g filters x R x S over N C H W (stride 1): N H W C (K/g) R S, the forward count when C = K.
    # dW[k,c/g,r,s] sums N P Q products for each of K (C/g) R S weights: the forward count again.
    x, weight, y = Operand((2, 16, 8, 8)), Operand((16, 2, 3, 3)), Operand((2, 16, 8, 8))
    forward = convolution_cost(input_shape=x.shape, weight_shape=weight.shape, output_shape=y.shape, groups=8)
    costs = convolution_backward_cost(forward, x=x, weight=weight, y=y, gradients=(True, True, True))
    assert [cost.name for cost in costs] == [
        "conv2d_input_gradient",
        "conv2d_weight_gradient",
        "conv2d_bias_gradient",
    ]
    assert [cost.macs for cost in costs] == [forward.macs, 2 * 8 * 8 * 16 * 2 * 9, 0]
    assert [cost.write_bytes for cost in costs] == [x.bytes, weight.bytes, 16 * 4]
    assert costs[1].family == "conv_grouped"


def test_a_linear_layer_and_the_matrix_product_it_is_cost_the_same():
    linear = linear_cost(rows=3, in_features=5, out_features=7, bias=False)
    product = matmul_cost(M=3, K=5, N=7)
    assert linear.macs == product.macs == 3 * 5 * 7
    assert linear.bytes == product.bytes == 4 * (15 + 35 + 21)


@pytest.mark.parametrize("form", [elementwise_cost, normalisation_cost, pooling_cost, reduction_cost, copy_cost])
def test_what_does_not_multiply_costs_the_bytes_of_its_tensors_and_no_macs(form):
    cost = form(inputs=[Operand((2, 3)), Operand((3,), "float16")], outputs=[Operand((2,), "int64")], path="a.b")
    assert (cost.macs, cost.read_bytes, cost.write_bytes, cost.path) == (0, 2 * 3 * 4 + 3 * 2, 2 * 8, "a.b")


@given(
    N=st.integers(1, 3),
    G=st.integers(1, 4),
    groups=st.integers(1, 4),
    multiple=st.integers(1, 3),
    size=st.integers(5, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
)
@settings(max_examples=30, deadline=None)
def test_forward_counts_agree_with_torch(N, G, groups, multiple, size, kernel, stride, padding):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    C, K = G * groups, multiple * groups
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        y = torch.nn.Conv2d(C, K, kernel, stride, padding, groups=groups)(torch.empty(N, C, size, size))
    cost = conv2d_cost(
        N=N, C=C, H=size, W=size, K=K, R=kernel, S=kernel, groups=groups, stride=stride, padding=padding, bias=True
    )
    assert cost.flops == counter.get_total_flops()
    assert cost.write_bytes == y.numel() * DTYPE_BYTES["float32"]


def test_costs_need_no_torch():
    code = "import sys, energybench.cost; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
