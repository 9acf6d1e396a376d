"""Integer and float8 layers: exact inside the sum, within the scheme's rounding outside, counted in their format."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_plans import CPU, built_layer, float_input, plan_of, unpacked_weight
from torch.profiler import ProfilerActivity, profile

from energybench.errors import UnsupportedError
from energybench.layers.float8 import scaled_product
from energybench.layers.quantization import LARGEST_E4M3, affine, float8, quantized_weight
from energybench.layers.quantized import LONGEST_SUM, Int8Conv2d, WeightOnlyPointwiseConv2d
from energybench.layers.ternary import TernaryPointwiseConv2d, packed_ternary, unpacked_ternary
from energybench.workload import build

C, K, N, H = 32, 48, 2, 6
P = N * H * H
SHAPE = f"[{N}, {C}, {H}, {H}]"
CHANNELS = f"in_channels: {C}, out_channels: {K}"


def rows(image):
    """N x K x P x Q as (N P Q) x K."""
    return image.permute(0, 2, 3, 1).flatten(0, 2)


@settings(max_examples=60, deadline=None)
@given(low=st.floats(-50, 50), span=st.floats(0.1, 100), x=st.floats(-200, 200))
def test_bytes_stand_for_a_number_to_half_a_step_within_the_range_and_for_zero_exactly(low, span, x):
    bounds = (low, low + span)
    map_ = affine(bounds)
    assert map_.scale == pytest.approx((max(bounds[1], 0) - min(low, 0)) / 255)
    assert float(map_.restored(map_.quantized(torch.tensor(0.0)))) == 0.0
    # The zero point is rounded, so the range may lie half a step off.
    inside = min(max(x, min(low, 0) + map_.scale / 2), max(bounds[1], 0) - map_.scale / 2)
    error = abs(float(map_.restored(map_.quantized(torch.tensor(inside)))) - inside)
    assert error <= map_.scale * (0.5 + 1e-3)


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="empty"):
        affine((0.0, 0.0))


@pytest.mark.parametrize("bits", [8, 4])
def test_each_output_channel_has_its_own_scale_and_is_off_by_half_of_it_at_most(bits):
    weight = torch.randn(K, C) * torch.logspace(-3, 3, K)[:, None]
    q, scale = quantized_weight(weight, bits=bits)
    limit = 2 ** (bits - 1) - 1
    assert torch.allclose(scale, weight.abs().amax(1) / limit)
    assert q.abs().amax(1).eq(limit).all()
    assert ((q * scale[:, None] - weight).abs() <= 0.5001 * scale[:, None]).all()


def test_one_scale_for_all_channels_loses_the_small_ones():
    weight = torch.randn(K, C) * torch.logspace(-3, 3, K)[:, None]
    q, scale = quantized_weight(weight, per_channel=False)
    assert scale.eq(weight.abs().max() / 127).all()
    assert q[0].eq(0).all()


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bounds", ["[-4.0, 4.0]", "[-1.0, 6.0]"])
def test_integer_sums_are_exactly_those_of_float64_on_the_same_integers(kernel, stride, bounds):
    args = f"{CHANNELS}, kernel_size: {kernel}, stride: {stride}, input_range: {bounds}"
    layer, x = built_layer("Int8Conv2d", args, SHAPE)
    assert x.dtype == torch.int8
    q = layer.affine.quantized(float_input(N, C, H, H)).double()
    weight = layer.q.double().reshape(K, kernel, kernel, C).permute(0, 3, 1, 2)
    # Padding is the number 0, which the zero point stands for.
    padded = torch.nn.functional.pad(q, [kernel // 2] * 4, value=layer.affine.zero_point)
    expected = rows(torch.nn.functional.conv2d(padded, weight, stride=stride))
    sums = layer.accumulated(x)
    assert sums.dtype == torch.int32
    assert torch.equal(sums.double(), expected)


def test_integer_sums_do_not_saturate_at_the_extremes():
    layer = Int8Conv2d(1024, 8)
    layer.pack_weights()
    layer.q.fill_(-127)
    assert layer.accumulated(torch.full((32, 1024), -128, dtype=torch.int8)).eq(127 * 128 * 1024).all()


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("bounds", ["[-4.0, 4.0]", "[-3.0, 5.0]"])
def test_floats_in_and_out_are_within_the_rounding_of_the_scheme(kernel, dtype, bounds):
    args = f"{CHANNELS}, kernel_size: {kernel}, convert: true, input_range: {bounds}"
    layer, x = built_layer("Int8Conv2d", args, SHAPE, dtype)
    # Both as the layer sees them: in the case's format, the input not outside what its bytes can hold.
    low, high = (layer.affine.restored(torch.tensor(q, dtype=torch.int8)) for q in (-128, 127))
    image = (x if kernel > 1 else x.reshape(N, H, H, C)).permute(0, 3, 1, 2).double().clamp(low, high)
    weight = unpacked_weight(C, K, kernel).to(x.dtype).double()
    exact = torch.nn.functional.conv2d(image, weight, padding=kernel // 2)
    half_x = 0.501 * layer.affine.scale
    half_w = 0.501 * weight.abs().amax((1, 2, 3)) / 127
    # |qx qw - x w| <= |x| dw + |w| dx + dx dw, summed over the filter.
    sums_x = torch.nn.functional.conv2d(image.abs(), torch.ones_like(weight[:1]), padding=kernel // 2)
    sums_w = weight.abs().sum((1, 2, 3))
    terms = C * kernel**2
    bound = sums_x * half_w[:, None, None] + (sums_w * half_x + terms * half_x * half_w)[:, None, None]
    found = layer(x).double()
    slack = rows(exact).abs() * torch.finfo(x.dtype).eps
    assert found.dtype == torch.float64
    assert layer(x).dtype == x.dtype
    assert ((found - rows(exact)).abs() <= rows(bound) + slack).all()
    assert (found - rows(exact)).abs().max() > 0.02 * bound.max(), "the bound is far from what happens"


def test_normal_data_keep_about_40_db():
    # Zoo entry 6: 39.7 dB for symmetric W8A8; here the step is that of the range +-4, and one in 16 000 is clipped.
    layer, x = built_layer("Int8Conv2d", "in_channels: 256, out_channels: 128, convert: true", "[8, 256, 8, 8]")
    exact = x.double() @ unpacked_weight(256, 128).flatten(1).double().t()
    noise = (layer(x).double() - exact).pow(2).mean()
    assert 10 * math.log10(exact.pow(2).mean() / noise) == pytest.approx(39.7, abs=1.0)


def test_bytes_in_and_out_are_the_floats_rounded_to_the_same_steps():
    whole, q = built_layer("Int8Conv2d", CHANNELS, SHAPE)
    alone, x = built_layer("Int8Conv2d", f"{CHANNELS}, convert: true", SHAPE)
    expected = whole.affine.quantized(alone(x))
    assert whole(q).dtype == torch.int8
    assert (whole(q).int() - expected.int()).abs().max() <= 1  # a tie may round either way
    assert whole(q).float().std() > 10, "outputs fill the range"


def test_the_operator_that_runs_is_the_integer_product():
    layer, x = built_layer("Int8Conv2d", f"{CHANNELS}, kernel_size: 3", SHAPE)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        layer(x)
    ran = {event.name for event in profiler.events()}
    assert "aten::_int_mm" in ran
    assert not ran & {"aten::mm", "aten::conv2d", "aten::convolution", "aten::fake_quantize_per_tensor_affine"}


def test_integer_macs_are_counted_as_integers_with_a_byte_an_operand():
    plan = plan_of("Int8Conv2d", CHANNELS, SHAPE, "float16")
    product = next(op for op in plan.operators if op.macs)
    assert (product.dtype, product.macs) == ("int8", C * K * P)
    assert product.read_bytes == P * C + K * C
    assert product.write_bytes == 4 * P * K  # 32-bit sums, written by PyTorch before they are requantised
    assert product.weight_bytes == K * C
    assert plan.params == K * C
    assert plan.compulsory_bytes == P * C + K * C + 8 * K + P * K  # bytes in and out, a scale and an offset a channel


def test_conversions_are_part_of_the_work_only_where_the_layer_stands_alone():
    inside, alone = (plan_of("Int8Conv2d", f"{CHANNELS}, convert: {c}", SHAPE, "float16") for c in ("false", "true"))
    assert inside.macs == alone.macs
    before = [op.name for op in alone.operators].index("matmul")
    assert [op.name for op in inside.operators].index("matmul") == 0 < before
    assert alone.compulsory_bytes > inside.compulsory_bytes + P * C


def test_sums_that_32_bits_do_not_hold_are_refused():
    assert LONGEST_SUM == 2**31 // 127**2 == 133_144  # zoo entry 6
    Int8Conv2d(LONGEST_SUM, 1)
    with pytest.raises(ValueError, match="overflow"):
        Int8Conv2d(LONGEST_SUM + 1, 1)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weight_only_layers_multiply_floats_by_restored_weights(bits, dtype):
    layer, x = built_layer("WeightOnlyPointwiseConv2d", f"{CHANNELS}, bits: {bits}", SHAPE, dtype)
    weight = unpacked_weight(C, K).flatten(1).to(x.dtype)
    scale = weight.float().abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    eps = torch.finfo(x.dtype).eps
    assert ((layer.restored().float() - weight.float()).abs() <= scale * 0.501 + weight.float().abs() * 2 * eps).all()
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.restored()))
    assert layer.q.numel() == K * C * bits // 8


def test_weight_only_layers_save_bytes_and_no_arithmetic():
    plan = plan_of("WeightOnlyPointwiseConv2d", f"{CHANNELS}, bits: 4", SHAPE, "float16")
    product = next(op for op in plan.operators if op.macs)
    assert (product.dtype, product.macs) == ("float16", C * K * P)
    assert plan.compulsory_bytes == 2 * P * (C + K) + K * C // 2 + 2 * K
    assert plan.params == K * C


def test_four_ternary_weights_share_a_byte_and_come_back():
    ternary = torch.randint(-1, 2, (K, C), dtype=torch.int8)
    packed = packed_ternary(ternary)
    assert packed.shape == (K, C // 4)
    assert packed.dtype == torch.uint8
    assert torch.equal(unpacked_ternary(packed), ternary)


def test_all_executions_of_a_ternary_layer_agree_to_the_bit_with_its_definition():
    weight = unpacked_weight(C, K).flatten(1)
    alpha = weight.abs().mean()
    ternary = torch.where(weight.abs() > alpha / 2, weight.sign(), torch.zeros_like(weight))
    outputs = []
    for execution in ("int8", "packed", "add"):
        layer, x = built_layer("TernaryPointwiseConv2d", f"{CHANNELS}, execution: {execution}", SHAPE)
        sums = layer.accumulated(x)
        assert sums.dtype == torch.int32
        assert torch.equal(sums.double(), x.double() @ ternary.double().t())
        assert layer.scale == alpha
        outputs.append(layer(x))
    assert outputs[0].equal(outputs[1])
    assert outputs[0].equal(outputs[2])
    # Output steps are input steps, so a byte out is alpha times the sum, rounded.
    assert torch.equal(outputs[0].double(), (sums * alpha).round().clamp(-128, 127).double())


def test_about_two_thirds_of_normal_weights_are_not_zero():
    layer = TernaryPointwiseConv2d(512, 512)
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    layer.pack_weights()
    # P(|w| > E|w| / 2) of a normal: 1 - erf(1 / (2 sqrt(pi))).
    assert layer.q.ne(0).float().mean() == pytest.approx(1 - math.erf(0.5 / math.sqrt(math.pi)), abs=3e-3)


def test_packed_ternary_weights_are_a_quarter_of_the_bytes_and_masks_twice_the_macs():
    plans = {
        e: plan_of("TernaryPointwiseConv2d", f"{CHANNELS}, execution: {e}", SHAPE) for e in ("int8", "packed", "add")
    }
    weights = {e: p.compulsory_bytes - P * (C + K) - 4 for e, p in plans.items()}
    assert weights == {"int8": K * C, "packed": K * C // 4, "add": 2 * K * C}
    assert plans["int8"].macs == plans["packed"].macs == plans["add"].macs // 2 == C * K * P
    assert {p.params for p in plans.values()} == {K * C}


def test_a_float8_round_trip_is_within_a_sixteenth_and_saturates():
    x = torch.cat([torch.logspace(-6, 2.6, 500), torch.tensor([1e4])])
    back = float8(x, torch.tensor(1.0)).float()
    normal = (x >= 2**-6) & (x <= LARGEST_E4M3)
    assert ((back - x).abs()[normal] <= x[normal] * 2**-4).all()
    assert back[-1] == LARGEST_E4M3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_float8_product_is_that_of_the_rounded_operands(dtype):
    # Torch emulates the product on CPUs: right, but nothing to measure.
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(P, C, generator=generator), torch.randn(K, C, generator=generator)
    sx, sw = x.abs().max() / LARGEST_E4M3, weight.abs().max() / LARGEST_E4M3
    found = scaled_product(float8(x, sx), float8(weight, sw), sx, sw, dtype)
    assert found.dtype == dtype
    exact = (float8(x, sx).double() * sx) @ (float8(weight, sw).double() * sw).t()
    assert (found.double() - exact).abs().max() <= 2 * torch.finfo(dtype).eps * exact.abs().max()
    assert (found.double() - x.double() @ weight.double().t()).abs().max() > 0.01, "operands are rounded"


def test_float8_is_unsupported_where_it_would_be_emulated():
    plan = plan_of("Float8PointwiseConv2d", CHANNELS, SHAPE, "float16")
    with pytest.raises(UnsupportedError, match=r"8\.9 or newer"):
        build(plan, CPU, seed=0)


def test_float8_macs_are_counted_as_float8_and_stay_bytes_inside_a_network():
    inside, alone = (
        plan_of("Float8PointwiseConv2d", f"{CHANNELS}, convert: {c}", SHAPE, "float16") for c in (False, True)
    )
    (product,) = inside.operators
    assert (product.dtype, product.macs) == ("float8", C * K * P)
    assert product.write_bytes == P * K
    assert inside.compulsory_bytes == P * (C + K) + K * C + 8
    assert next(op for op in alone.operators if op.macs).write_bytes == 2 * P * K
    assert alone.output_shapes == ((P, K),)


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9), reason="needs float8 tensor cores"
)
@pytest.mark.parametrize("layer", ["Float8PointwiseConv2d", "Int8Conv2d", "TernaryPointwiseConv2d"])
def test_eight_bit_layers_are_near_the_float_product_on_a_gpu(layer):
    plan = plan_of(layer, "in_channels: 64, out_channels: 128", "[2, 64, 8, 8]", "float16")
    built = build(plan, torch.device("cuda"), seed=0)
    x = built.input_sets[0][0]
    on_cpu = built.module.cpu()
    if layer != "Float8PointwiseConv2d":
        assert torch.equal(on_cpu.accumulated(x.cpu()), on_cpu.cuda().accumulated(x).cpu())
        return
    exact = x.double().cpu() @ unpacked_weight(64, 128).flatten(1).double().t()
    assert (on_cpu.cuda()(x).double().cpu() - exact).abs().mean() < 0.1 * exact.abs().mean()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Int8Conv2d(8, 8, 2), "even"),
        (lambda: WeightOnlyPointwiseConv2d(8, 8, 3), "bits=3"),
        (lambda: WeightOnlyPointwiseConv2d(7, 8, 4), "even number"),
        (lambda: TernaryPointwiseConv2d(8, 8, "lookup"), "lookup"),
        (lambda: TernaryPointwiseConv2d(6, 8), "multiples of 4"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
