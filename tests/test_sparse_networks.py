"""MobileNets with sparse pointwise layers: the zoo's counts, what pruning leaves, and the dense network's output."""

import pytest
import torch
from layer_plans import CPU, plan_of

from energybench.layers.pruning import kept_count
from energybench.networks.cifar import CifarMobileNetV2
from energybench.networks.mobilenet_v1 import MobileNetV1
from energybench.networks.mobilenet_v2 import InvertedResidual, MobileNetV2
from energybench.suite import load_suite
from energybench.suite.cases import expand
from energybench.workload import build, plan_workload
from energybench.workload.formats import pack

IMAGES = "[1, 3, 224, 224]"
SPARSE = {"MobileNetV1": 0.9, "MobileNetV2": 0.85}


def pointwise_layers(network):
    """(weights, MACs at 224) of every 1x1 convolution of the dense network."""
    return [(op.weight_bytes // 4, op.macs) for op in plan_of(network, "group_size: 1", IMAGES).operators
            if op.family == "conv_pointwise"]  # fmt: skip


@pytest.mark.parametrize(
    ("network", "params", "macs", "pointwise_params", "pointwise_macs"),
    [
        # Zoo entries 4 and 7.
        ("MobileNetV1", 4_231_976, 568.7e6, 3_139_584, 539.5e6),
        ("MobileNetV2", 3_504_872, 300.8e6, 2_124_672, 267.9e6),
    ],
)
def test_dense_networks_have_the_counts_of_the_zoo(network, params, macs, pointwise_params, pointwise_macs):
    plan = plan_of(network, "group_size: 1", IMAGES)
    assert plan.params == params
    assert plan.macs == pytest.approx(macs, rel=5e-4)
    layers = pointwise_layers(network)
    assert sum(weights for weights, _ in layers) == pointwise_params
    assert sum(count for _, count in layers) == pytest.approx(pointwise_macs, rel=5e-4)


@pytest.mark.parametrize("network", SPARSE)
def test_pruning_takes_its_share_of_the_pointwise_layers_and_nothing_else(network):
    sparsity = SPARSE[network]
    dense = plan_of(network, "group_size: 1", IMAGES)
    sparse = plan_of(network, f"group_size: 1, sparsity: {sparsity}", IMAGES)
    layers = pointwise_layers(network)
    kept = [kept_count(weights, sparsity) for weights, _ in layers]
    assert sparse.params == dense.params - sum(weights for weights, _ in layers) + sum(kept)
    macs_left = [k * (macs // weights) for k, (weights, macs) in zip(kept, layers, strict=True)]
    assert sparse.macs == dense.macs - sum(macs for _, macs in layers) + sum(macs_left)
    assert sum(op.family == "sparse" for op in sparse.operators) == len(layers)
    assert sparse.unknown == ()


@pytest.mark.parametrize("make", [MobileNetV1, MobileNetV2])
@pytest.mark.parametrize("execution", ["csr", "masked"])
def test_a_network_with_nothing_pruned_computes_what_the_dense_one_does(make, execution):
    torch.manual_seed(0)
    dense, sparse = (
        make(group_size=1, classes=10).eval(),
        make(group_size=1, classes=10, sparsity=0.0, execution=execution),
    )
    weights = [tensor.reshape(ours.shape) for tensor, ours in zip(
        dense.state_dict().values(), sparse.state_dict().values(), strict=True)]  # fmt: skip
    sparse.load_state_dict(dict(zip(sparse.state_dict(), weights, strict=True)))
    pack(sparse.eval())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(sparse(x), dense(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [MobileNetV2, CifarMobileNetV2])
def test_one_block_builds_mobilenet_v2_for_large_and_for_small_images(make):
    # table 2 of the paper: 1 + 2 + 3 + 4 + 3 + 3 + 1 blocks, the input added in all but the first of each stage
    with torch.device("meta"):
        blocks = [module for module in make().modules() if isinstance(module, InvertedResidual)]
    assert len(blocks) == 17
    assert sum(block.residual for block in blocks) == 17 - 7


def test_the_shipped_suite_runs_its_quick_part():
    cases, _ = expand(load_suite("sparse_networks"), quick=True)
    assert [c.variant for c in cases] == ["dense", "dense with zeros", "CSR"] * 2
    for case in cases:
        plan = plan_workload(case)
        built = build(plan, CPU, seed=0)
        assert built.module(*built.input_sets[0]).isfinite().all()
