"""Sparse 1x1 convolutions: equal to the dense product with masked weights, by a sparse kernel, counted as they work."""

import pytest
import torch
from layer_plans import CPU, built_layer, float_input, plan_of, unpacked_weight
from torch.profiler import ProfilerActivity, profile

from energybench.errors import SuiteError, UnsupportedError
from energybench.layers.pruning import compressed_rows, kept_columns, two_of_four
from energybench.layers.sparse_pointwise import SparsePointwiseConv2d
from energybench.workload import build

C, K, P = 32, 64, 2 * 5 * 5
SHAPE = f"[2, {C}, 5, 5]"
EXECUTIONS = [("masked", 1), ("csr", 1), ("bsr", 16), ("gather", 4), ("gather", 16)]


def arguments(execution, block, sparsity=0.9):
    return f"in_channels: {C}, out_channels: {K}, sparsity: {sparsity}, execution: {execution}, block: {block}"


def masked(weight, execution, block, sparsity):
    """The weight with its pruned entries zero, rebuilt from which of them are largest."""
    K, C = weight.shape
    rows, columns = (block, 1) if execution == "gather" else (block, block)
    norms = weight.abs().reshape(K // rows, rows, C // columns, columns).sum((1, 3))
    if execution == "gather":
        threshold = norms.sort(1, descending=True).values[:, round((1 - sparsity) * C) - 1, None]
    else:
        threshold = norms.flatten().sort(descending=True).values[round((1 - sparsity) * norms.numel()) - 1]
    keep = (norms >= threshold).repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    return weight * keep


@pytest.mark.parametrize(("execution", "block"), EXECUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_equals_the_dense_convolution_with_masked_weights(execution, block, dtype):
    sparsity = 0.75  # of 8 squares of 16 x 16, 2 are kept
    layer, x = built_layer("SparsePointwiseConv2d", arguments(execution, block, sparsity), SHAPE, dtype)
    weight = masked(unpacked_weight(C, K).flatten(1), execution, block, sparsity).double()
    assert (weight == 0).double().mean() == sparsity
    image = x.double().reshape(C, 2, 5, 5).transpose(0, 1)
    dense = torch.nn.functional.conv2d(image, weight[:, :, None, None])
    expected = dense.transpose(0, 1).flatten(1)
    error = (layer(x).double() - expected).abs().max()
    assert error < C * torch.finfo(x.dtype).eps * expected.abs().max()


def test_activations_are_handed_over_channel_major():
    _, x = built_layer("SparsePointwiseConv2d", arguments("csr", 1), SHAPE)
    assert torch.equal(x, float_input(2, C, 5, 5).permute(1, 0, 2, 3).reshape(C, P))
    assert x.is_contiguous()


@pytest.mark.parametrize(("execution", "block"), EXECUTIONS[1:])
def test_only_kept_weights_are_stored(execution, block):
    layer, _ = built_layer("SparsePointwiseConv2d", arguments(execution, block), SHAPE)
    floats = [t for t in (*layer.parameters(), *layer.buffers()) if t.is_floating_point()]
    assert sum(t.numel() for t in floats) == layer.stored_weights < 0.2 * C * K


@pytest.mark.parametrize(("execution", "block"), [("csr", 1), ("bsr", 16)])
def test_the_operator_that_runs_is_the_sparse_one(execution, block):
    layer, x = built_layer("SparsePointwiseConv2d", arguments(execution, block), SHAPE)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        layer(x)
    ran = {event.name for event in profiler.events()}
    assert {"energybench::sparse_matmul", "aten::_sparse_compressed_tensor_unsafe", "aten::_nnz"} <= ran
    assert not ran & {"aten::to_dense", "aten::_to_dense", "aten::sparse_mask", "aten::bmm", "aten::linear"}


@pytest.mark.parametrize("sparsity", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_csr_counts_are_those_of_the_zoo(sparsity):
    plan = plan_of("SparsePointwiseConv2d", arguments("csr", 1, sparsity), SHAPE)
    kept = round((1 - sparsity) * C * K)
    (operator,) = plan.operators
    assert plan.macs == kept * P
    assert plan.params == kept
    assert operator.family == "sparse"
    # Zoo entry 4: a value and a 32-bit column each, and a start for every row and one more.
    assert operator.weight_bytes == kept * (4 + 4) + 4 * (K + 1)
    assert plan.compulsory_bytes == plan.eager_bytes == operator.weight_bytes + 4 * P * (C + K)


def test_a_gathered_block_shares_its_indices_and_pays_for_gathering():
    plan = plan_of("SparsePointwiseConv2d", arguments("gather", 4), SHAPE)
    kept, blocks = 3, K // 4  # a tenth of 32 channels, to the nearest
    gather, product = plan.operators
    assert plan.macs == product.macs == K * kept * P
    assert gather.weight_bytes == blocks * kept * 8
    assert gather.write_bytes == blocks * kept * P * 4
    assert product.weight_bytes == K * kept * 4


def test_dense_with_zeros_is_not_the_same_work_as_dense_with_other_zeros():
    half, most = (plan_of("SparsePointwiseConv2d", arguments("masked", 1, s), SHAPE) for s in (0.5, 0.9))
    assert half.macs == most.macs == C * K * P
    assert half.params == C * K
    assert half.work != most.work
    assert half.work == plan_of("SparsePointwiseConv2d", arguments("masked", 1, 0.5), SHAPE).work


def test_the_narrower_network_has_about_the_macs_of_the_sparse_one():
    plan = plan_of("NarrowPointwiseConv2d", "in_channels: 512, out_channels: 512, sparsity: 0.75", "[1, 512, 4, 4]")
    assert plan.macs == 256 * 256 * 16  # both sides halved: a quarter of the MACs
    layer, x = built_layer(
        "NarrowPointwiseConv2d", "in_channels: 512, out_channels: 512, sparsity: 0.75", "[1, 512, 4, 4]"
    )
    torch.testing.assert_close(layer(x), layer.weight @ float_input(1, 512, 4, 4)[0, :256].flatten(1))


def test_sparse_products_the_cpu_lacks_are_unsupported():
    plan = plan_of("SparsePointwiseConv2d", arguments("csr", 1), SHAPE, "float16")
    with pytest.raises(UnsupportedError, match="float32 and float64, not in float16"):
        build(plan, CPU, seed=0)


def test_packed_weights_cannot_be_trained():
    with pytest.raises(SuiteError, match="nothing to train"):
        plan_of("SparsePointwiseConv2d", arguments("csr", 1), SHAPE, mode="training")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"execution": "coo"}, "none of masked"),
        ({"execution": "csr", "block": 4}, "block=4"),
        ({"execution": "gather"}, "block=1"),
        ({"execution": "bsr", "block": 48}, "does not divide"),
        ({"sparsity": 1.0}, "share of zeros"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        SparsePointwiseConv2d(C, K, **({"sparsity": 0.5} | args))


def test_half_of_the_macs_and_nine_sixteenths_of_the_bytes_are_left_of_a_2_4_weight():
    plan = plan_of("SemiStructuredPointwiseConv2d", "in_channels: 64, out_channels: 128", "[2, 64, 8, 8]", "float16")
    (operator,) = plan.operators
    assert plan.macs == 128 * 64 // 2 * 128
    assert plan.params == 128 * 64 // 2
    # Zoo entry 5: 1.125 bytes a weight in 16 bits, half of the values and two bits of metadata each.
    assert operator.weight_bytes == 1.125 * 128 * 64
    assert operator.dtype == "float16"


def test_2_4_pads_pixels_to_whole_lanes_and_nothing_else():
    plan = plan_of("SemiStructuredPointwiseConv2d", "in_channels: 64, out_channels: 128", "[1, 64, 7, 7]", "float16")
    assert plan.output_shapes == ((128, 56),)


def test_2_4_is_unsupported_on_the_cpu():
    plan = plan_of("SemiStructuredPointwiseConv2d", "in_channels: 64, out_channels: 128", "[2, 64, 8, 8]")
    with pytest.raises(UnsupportedError, match="sparse tensor cores"):
        build(plan, CPU, seed=0)


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0), reason="needs sparse tensor cores"
)
def test_2_4_runs_the_sparse_kernel_and_equals_the_dense_product_on_a_gpu():
    plan = plan_of("SemiStructuredPointwiseConv2d", "in_channels: 64, out_channels: 128", "[2, 64, 7, 7]", "float16")
    built = build(plan, torch.device("cuda"), seed=0)
    (x,) = built.input_sets[0]
    expected = two_of_four(unpacked_weight(64, 128).flatten(1).half()).double() @ x.double().cpu()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        found = built.module(x)
    torch.testing.assert_close(found.double().cpu(), expected, rtol=2e-3, atol=2e-3)
    ran = {event.name for event in profiler.events()}
    assert ran & {"aten::_cslt_sparse_mm", "aten::_sparse_semi_structured_mm"}


def test_pruning_works_by_shape_alone():
    weight = torch.empty(64, 32, device="meta")
    starts, columns, values = compressed_rows(weight, 0.9)
    assert (starts.shape, columns.shape, values.shape) == ((65,), (205,), (205,))
    assert kept_columns(weight, 0.9, 16)[1].shape == (4, 16, 3)
    assert two_of_four(weight).shape == weight.shape
