"""A fused group does the arithmetic of its members and moves its boundary only."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from energybench.analysis.waterline import waterline
from energybench.cost import Operand, conv2d_cost, elementwise_cost, linear_cost, normalisation_cost
from energybench.cost.fusion import epilogues_fused, fused
from energybench.machine import load_machine

N, C, SIDE, E, G = 128, 64, 64, 6, 8
IMAGE_BYTES = N * C * SIDE * SIDE * 2


def convolution(inputs, outputs, kernel, groups=1, path=""):
    return conv2d_cost(
        N=N, C=inputs, H=SIDE, W=SIDE, K=outputs, R=kernel, S=kernel, groups=groups, padding=kernel // 2,
        dtype="float16", path=path,
    )  # fmt: skip


def conv_first():
    """Grouped 3x3, expansion, projection with the residual: Lavin's block, V3 of our notes."""
    project = convolution(E * C, C, 1, path="block.project")
    return [
        convolution(C, C, 3, C // G, path="block.conv"),
        convolution(C, E * C, 1, path="block.expand"),
        replace(project, read_bytes=project.read_bytes + IMAGE_BYTES),
    ]


def test_a_fused_block_reads_its_input_and_all_weights_and_writes_its_output():
    block = conv_first()
    one = fused(block)
    weights = 2 * (C * G * 9 + C * E * C + E * C * C)
    assert one.read_bytes == IMAGE_BYTES + weights
    assert one.write_bytes == IMAGE_BYTES
    assert one.weight_bytes == weights
    assert one.macs == sum(op.macs for op in block)
    assert one.path == "block"
    assert one.name == "conv2d+conv2d+conv2d"


def test_the_fused_conv_first_block_of_the_worked_example_v3_is_bound_by_arithmetic():
    machine = replace(
        load_machine("p100-pcie"),
        peak_flops_per_s={"float16": 100e12},
        j_per_flop={"float16": 2e-12},
        bandwidth_bytes_per_s=1e12,
        tdp_w=math.inf,
    )
    apart, together = waterline(conv_first(), machine), waterline([fused(conv_first())], machine)
    assert together.bars[0].bytes / 1e6 == pytest.approx(134.325, abs=5e-4)
    assert together.bars[0].intensity == pytest.approx(419.664, abs=5e-4)
    assert together.attainable_s * 1e6 == pytest.approx(563.714, abs=5e-4)
    assert apart.attainable_s * 1e6 == pytest.approx(1140.958, abs=5e-4)
    assert (apart.eta, together.eta) == pytest.approx((0.4941, 1.0), abs=5e-5)


def test_a_fused_group_is_a_kernel_of_the_class_of_its_largest_member():
    narrow, wide, relu = convolution(C, C, 3, C), convolution(C, 4 * C, 1), elementwise_cost(
        inputs=[Operand((N, 4 * C, SIDE, SIDE), "float16")], outputs=[Operand((N, 4 * C, SIDE, SIDE), "float16")]
    )  # fmt: skip
    one = fused([narrow, wide, relu])
    assert (one.family, one.kernel_size, one.out_channels) == ("conv_pointwise", 1, 4 * C)


def test_a_residual_from_elsewhere_is_read():
    block = conv_first()
    assert fused(block, outside_bytes=IMAGE_BYTES).read_bytes == fused(block).read_bytes + IMAGE_BYTES


def test_a_group_of_one_is_that_operator():
    single = linear_cost(rows=4, in_features=8, out_features=2, path="head")
    assert fused([single]) == single


def test_members_that_multiply_in_different_formats_have_no_common_peak():
    with pytest.raises(ValueError, match="float16 and float32"):
        fused([convolution(C, C, 1), linear_cost(rows=4, in_features=8, out_features=2)])
    with pytest.raises(ValueError, match="at least one"):
        fused([])


def passing(shape, name="relu", inputs=1, weight_bytes=0):
    tensor = Operand(shape, "float16")
    make = normalisation_cost if name == "batch_norm" else elementwise_cost
    op = make(inputs=[tensor] * inputs, outputs=[tensor], name=name)
    return replace(op, read_bytes=op.read_bytes + weight_bytes, weight_bytes=weight_bytes)


def test_what_only_passes_over_a_result_joins_the_kernel_that_made_it():
    shape = (N, C, SIDE, SIDE)
    conv, norm, add, relu = (
        convolution(C, C, 3),
        passing(shape, "batch_norm", weight_bytes=2 * 4 * C),
        passing(shape, "add", inputs=2),
        passing(shape),
    )
    (one,) = epilogues_fused([conv, norm, add, relu])
    # read: its input, the residual, all weights; written: the result; three round trips of intermediates are saved
    assert one.read_bytes == 2 * IMAGE_BYTES + 2 * C * C * 9 + 2 * 4 * C
    assert one.write_bytes == IMAGE_BYTES
    assert sum(op.bytes for op in (conv, norm, add, relu)) - one.bytes == 6 * IMAGE_BYTES
    assert one.macs == conv.macs


def test_what_comes_first_needs_the_whole_result_or_reads_less_than_it_stays_a_kernel_of_its_own():
    shape = (N, C, SIDE, SIDE)
    softmax = passing(shape, "softmax")
    small = passing((N, C, 1, 1), "sigmoid")
    sequence = [passing(shape), convolution(C, C, 1), replace(softmax, family="normalisation"), passing(shape),
                convolution(C, C, 1), small]  # fmt: skip
    assert epilogues_fused(sequence) == tuple(sequence)


def test_a_training_pass_keeps_its_intermediates():
    sequence = [convolution(C, C, 1), passing((N, C, SIDE, SIDE)), passing((N, C, SIDE, SIDE), "threshold_backward")]
    assert epilogues_fused(sequence) == tuple(sequence)
