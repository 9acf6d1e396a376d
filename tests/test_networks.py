"""Whole networks have the published counts: zoo_conv.md entries 1, 2, 9 to 12, and e2gc.md sections 5.1 and 5.2."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from energybench.layers.group_conv import GroupConv2d
from energybench.networks.convnext import ConvNeXt
from energybench.networks.dico import DiCo
from energybench.networks.inception_next import InceptionNeXt
from energybench.networks.lsnet import LSNet
from energybench.networks.mobilenet_v1 import MobileNetV1
from energybench.networks.resnet import ResNet50
from energybench.networks.resnext import ResNeXt50
from energybench.networks.unireplknet import UniRepLKNet
from energybench.workload.trace import trace

COUNTS = [  # network, grouping, millions of parameters with batch norms, billions of MACs at 224 x 224
    (MobileNetV1, {"group_size": 1}, 4.232, 0.5687),
    (MobileNetV1, {"group_size": 4}, 4.366, 0.6209),
    (MobileNetV1, {"group_size": 8}, 4.544, 0.6904),
    (MobileNetV1, {"group_size": 16}, 4.902, 0.8295),
    (MobileNetV1, {"groups": 32}, 4.972, 0.6850),
    (MobileNetV1, {"groups": 16}, 5.757, 0.8187),
    (MobileNetV1, {"groups": 8}, 7.327, 1.0860),
    (ResNeXt50, {"groups": 32}, 25.029, 4.2305),
    (ResNeXt50, {"group_size": 8}, 24.158, 4.1980),
    (ResNeXt50, {"group_size": 4}, None, 4.0986),
    (ResNeXt50, {"group_size": 16}, None, 4.3967),
    (ResNeXt50, {"group_size": 32}, None, 4.7941),
]

EXACT = [  # network, arguments, parameters, billions of MACs at 224 x 224 to as many digits as the entry gives
    (InceptionNeXt, {"size": "atto"}, 4_156_520, "0.503"),
    (InceptionNeXt, {"size": "T"}, 28_055_680, "4.189"),
    (InceptionNeXt, {"size": "S"}, 49_374_016, "8.356"),
    (InceptionNeXt, {"size": "B"}, 86_672_136, "14.84"),
    (ConvNeXt, {"size": "T"}, 28_589_128, "4.456"),
    (ConvNeXt, {"size": "atto"}, 3_695_520, None),
    (UniRepLKNet, {"size": "A"}, 4_437_300, "0.640"),
    (UniRepLKNet, {"size": "T"}, 31_037_980, "4.899"),
    (UniRepLKNet, {"size": "S"}, 55_645_984, "9.094"),
    (UniRepLKNet, {"size": "T", "deployed": False}, 31_693_420, "5.004"),
    (LSNet, {"size": "T"}, 11_409_832, None),
    (LSNet, {"size": "S"}, 16_146_304, None),
    (LSNet, {"size": "B"}, 23_313_608, None),
    (ResNet50, {}, 25_557_032, "4.089"),
    (ResNet50, {"spatial": "max"}, 14_232_232, "2.24"),
    (ResNet50, {"spatial": "hybrid"}, 17_330_600, "2.586"),
]


def on_meta(network, grouping) -> tuple[nn.Module, torch.Tensor]:
    with torch.device("meta"):
        return network(**grouping), torch.empty(1, 3, 224, 224)


@pytest.mark.parametrize(("network", "grouping", "millions", "billions"), COUNTS)
def test_parameters_and_macs_are_the_published_ones(network, grouping, millions, billions):
    module, x = on_meta(network, grouping)
    traced = trace(module, [x], training=False)
    macs = sum(operator.macs for operator in traced.operators)
    assert macs / 1e9 == pytest.approx(billions, abs=5e-5)
    if millions is not None:
        assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)
    assert all(operator.known for operator in traced.operators)
    assert traced.outputs[0].shape == (1, 1000)


@pytest.mark.parametrize(("network", "arguments", "params", "billions"), EXACT)
def test_parameters_are_exactly_those_of_the_entry_and_macs_to_its_digits(network, arguments, params, billions):
    module, x = on_meta(network, arguments)
    assert sum(p.numel() for p in module.parameters()) == params
    traced = trace(module, [x], training=False)
    assert all(operator.known for operator in traced.operators)
    assert traced.outputs[0].shape == (1, 1000)
    if billions is not None:
        digits = len(billions.partition(".")[2])
        assert f"{sum(operator.macs for operator in traced.operators) / 1e9:.{digits}f}" == billions


@pytest.mark.parametrize(("size", "billions"), [("T", "0.3146"), ("S", "0.5364"), ("B", "1.2402")])
def test_lsnet_has_the_macs_of_the_entry_plus_its_attention_and_aggregation(size, billions):
    """The entry counts layers with weights; the sums of data by data come on top and are derived here."""
    module, x = on_meta(LSNet, {"size": size, "execution": "unfold"})
    macs: dict[str, int] = {}
    for operator in trace(module, [x], training=False).operators:
        macs[operator.name] = macs.get(operator.name, 0) + operator.macs
    assert f"{(macs['conv2d'] + macs['linear']) / 1e9:.4f}" == billions
    widths, depths = {
        "T": ((64, 128, 256, 384), (0, 2, 8, 10)),
        "S": ((96, 192, 320, 448), (1, 2, 8, 10)),
        "B": ((128, 256, 384, 512), (4, 6, 8, 10)),
    }[size]
    pixels, odd = [28**2, 14**2, 7**2, 4**2], [depth // 2 for depth in depths]
    aggregation = sum(9 * C * P * blocks for C, P, blocks in zip(widths[:3], pixels[:3], odd[:3], strict=True))
    attention = odd[3] * pixels[3] ** 2 * (4 * 16 + widths[3])
    assert macs["matmul"] == aggregation + attention
    assert sum(macs.values()) == macs["conv2d"] + macs["linear"] + macs["matmul"]


@pytest.mark.parametrize(
    ("size", "params", "billions"),
    [
        ("S", 33_137_672, "4.24"),
        ("B", 129_992_712, "16.86"),
        ("L", 463_897_992, "60.17"),
        ("XL", 701_151_368, "87.22"),
    ],
)
def test_dico_has_the_counts_of_the_entry_at_latents_of_32(size, params, billions):
    with torch.device("meta"):
        network, latents = DiCo(size), torch.empty(1, 4, 32, 32)
        times = torch.empty(1, dtype=torch.int64)
    assert sum(p.numel() for p in network.parameters()) == params
    traced = trace(network, [latents, times, times], training=False)
    assert all(operator.known for operator in traced.operators)
    assert traced.outputs[0].shape == (1, 8, 32, 32)
    digits = len(billions.partition(".")[2])
    assert f"{sum(operator.macs for operator in traced.operators) / 1e9:.{digits}f}" == billions


def test_dico_depends_on_latents_times_and_labels():
    torch.manual_seed(0)
    network = DiCo("S").eval()
    x = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        y, later, other = (
            network(x, torch.tensor([t, t]), torch.tensor([c, c])) for t, c in ((5, 1), (900, 1), (5, 2))
        )
    assert bool(y.isfinite().all())
    assert not torch.allclose(y, later)
    assert not torch.allclose(y, other)


def test_mobilenet_without_batch_norms_has_the_counts_of_table_5_1():
    module, x = on_meta(MobileNetV1, {"group_size": 1})
    norms = sum(p.numel() for m in module.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    assert sum(p.numel() for p in module.parameters()) - norms == 4_210_088
    by_family: dict[str, int] = {}
    for operator in trace(module, [x], training=False).operators:
        by_family[operator.family] = by_family.get(operator.family, 0) + operator.macs
    assert by_family["conv_dense"] == 10_838_016
    assert by_family["conv_pointwise"] == 539_492_352
    assert by_family["gemm"] == 1_024_000


@pytest.mark.parametrize(("network", "layers"), [(MobileNetV1, 13), (ResNeXt50, 16)])
def test_only_the_three_by_three_layers_are_grouped(network, layers):
    module, _ = on_meta(network, {"group_size": 4})
    grouped = [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(grouped) == layers
    assert all(isinstance(m, GroupConv2d) and m.weight.shape[1] == 4 for m in grouped)


@pytest.mark.parametrize("network", [MobileNetV1, ResNeXt50])
def test_torchs_own_counter_agrees_on_the_way_forward(network):
    module, x = on_meta(network, {"groups": 8})
    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    flops = sum(operator.flops for operator in trace(module, [x], training=False).operators)
    assert flops == counter.get_total_flops()


@pytest.mark.parametrize("network", [InceptionNeXt, ConvNeXt, UniRepLKNet, LSNet])
def test_a_size_nobody_published_is_refused(network):
    with pytest.raises(ValueError, match=r"size='XXL' is none of .*T"):
        network("XXL")


@pytest.mark.parametrize("network", [MobileNetV1, ResNeXt50])
@pytest.mark.parametrize("grouping", [{}, {"groups": 8, "group_size": 8}, {"group_size": 48}])
def test_a_grouping_that_is_missing_double_or_does_not_divide_is_refused(network, grouping):
    with torch.device("meta"), pytest.raises(ValueError, match="group"):
        network(**grouping)


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (MobileNetV1, {"groups": 32}),
        (ResNeXt50, {"groups": 32}),
        (ResNet50, {"spatial": "hybrid"}),
        (InceptionNeXt, {"size": "atto"}),
        (ConvNeXt, {"size": "atto"}),
        (UniRepLKNet, {"size": "A", "deployed": False}),
        (LSNet, {"size": "T"}),
    ],
)
def test_gradients_reach_every_parameter(network, arguments):
    module, _ = on_meta(network, arguments)
    module(torch.empty(2, 3, 224, 224, device="meta")).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in module.parameters())


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (ResNeXt50, {"groups": 32}),
        (ResNet50, {"spatial": "max"}),
        (InceptionNeXt, {"size": "atto"}),
        (ConvNeXt, {"size": "atto"}),
        (UniRepLKNet, {"size": "A"}),
    ],
)
def test_a_network_runs_on_numbers(network, arguments):
    torch.manual_seed(0)
    scores = network(**arguments, classes=5).eval()(torch.randn(2, 3, 64, 64))
    assert scores.shape == (2, 5)
    assert bool(scores.isfinite().all())


def test_lsnet_runs_on_numbers_alike_in_all_executions():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 224, 224)
    taps, unfold = (LSNet("T", execution=execution, classes=5).eval() for execution in ("taps", "unfold"))
    unfold.load_state_dict(taps.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(unfold(x), taps(x), rtol=1e-3, atol=1e-4)
