"""Networks of timm in suites: named by the person who runs, counted as published, measured to a report."""

import pytest
from quiet import measured

from energybench.analysis.summary import summarize
from energybench.errors import SuiteError
from energybench.journal import load
from energybench.resolve import resolve_layer
from energybench.suite import parse_suite
from energybench.suite.cases import expand
from energybench.workload import plan_workload

pytest.importorskip("timm", reason="timm needs torchvision, and so a full build of torch: make test-timm")

SUITE = """
name: zoo
baseline: network
variants:
  network: {layer: "timm:%s", cache: hot}
input: [1, 3, %d, %d]
"""


def plan_of(network, side=224):
    (case,), _ = expand(parse_suite(SUITE % (network, side, side)))
    return plan_workload(case, plugins=("timm",))


@pytest.mark.parametrize(
    ("network", "params", "macs", "pointwise_params", "pointwise_macs"),
    [
        # Zoo entry 4: the share of the 1x1 convolutions, which Fast Sparse ConvNets prune.
        ("mobilenetv2_100", 3_504_872, 300.8e6, 2_124_672, 267.9e6),
        ("efficientnet_b0", 5_288_548, 385.8e6, None, 338.5e6),
        ("resnet50", 25_557_032, 4.089e9, None, None),
    ],
)
def test_counts_are_those_verified_for_the_zoo(network, params, macs, pointwise_params, pointwise_macs):
    plan = plan_of(network)
    assert plan.params == params
    assert plan.macs == pytest.approx(macs, rel=5e-4)
    assert plan.unknown == ()
    # Squeeze-and-excitation layers are 1x1 too, on one pixel: the zoo's counts are of those on maps.
    pointwise = [op for op in plan.operators if op.family == "conv_pointwise" and op.macs * 4 > op.weight_bytes]
    if pointwise_macs is not None:
        assert sum(op.macs for op in pointwise) == pytest.approx(pointwise_macs, rel=5e-4)
    if pointwise_params is not None:
        assert sum(op.weight_bytes for op in pointwise) == 4 * pointwise_params


@pytest.mark.parametrize("network", ["resnet50", "create_model"])
def test_timm_is_refused_until_it_is_named(network):
    with pytest.raises(SuiteError, match="--plugin"):
        resolve_layer(f"timm:{network}")


def test_create_model_works_too_but_fetches_nothing():
    text = SUITE % ("create_model", 64, 64)
    named = text.replace("cache: hot", "cache: hot, args: {model_name: %s}")
    (case,), _ = expand(parse_suite(named % "resnet18"))
    assert plan_workload(case, plugins=("timm",)).params == 11_689_512
    for words in ("hf_hub:somebody/something", "resnet18, pretrained: true"):
        (case,), _ = expand(parse_suite(named % words))
        with pytest.raises(SuiteError, match="fetch"):
            plan_workload(case, plugins=("timm",))


@pytest.mark.parametrize("device", ["sim:h200", "cpu"])
def test_a_network_of_timm_is_measured(tmp_path, device):
    text = SUITE % ("mobilenetv3_small_050", 64, 64)
    folder, _ = measured(tmp_path, text=text, device=device, plugins=("timm",), quick=True)
    cases = summarize(load(folder)).cases
    assert (cases["status"] == "ok").all()
    assert cases["loop_latency_s"].gt(0).all()


def test_our_networks_count_as_timm_counts_them():
    text = SUITE.replace("timm:%s", "ResNeXt50").replace("cache: hot", "args: {groups: 32}")
    (case,), _ = expand(parse_suite(text % (224, 224)))
    ours, theirs = plan_workload(case), plan_of("resnext50_32x4d")
    assert (ours.params, ours.macs) == (theirs.params, theirs.macs)
