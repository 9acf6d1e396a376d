"""What all spatial mixers share: number formats, layouts, and suites whose pairs and baselines mean what they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from energybench.layers.bottleneck import PfBottleneck
from energybench.layers.dico import DiCoConv2d
from energybench.layers.dilated_reparam import DilatedReparamBlock2d
from energybench.layers.inception_dw import InceptionDWConv2d, MetaNeXtBlock2d
from energybench.layers.layer_norm import LayerNorm2d
from energybench.layers.ls_conv import LSConv2d
from energybench.layers.unireplknet import UniRepLKNetBlock2d
from energybench.suite import expand, load_suite
from energybench.workload import plan_workload

C = 16
LAYERS = {
    "InceptionDWConv2d": lambda: InceptionDWConv2d(C),
    "MetaNeXtBlock2d": lambda: MetaNeXtBlock2d(C),
    "DilatedReparamBlock2d": lambda: DilatedReparamBlock2d(C, 7),
    "UniRepLKNetBlock2d": lambda: UniRepLKNetBlock2d(C, 7),
    "UniRepLKNetBlock2d in training form": lambda: UniRepLKNetBlock2d(C, 7, deployed=False),
    "LayerNorm2d": lambda: LayerNorm2d(C),
    "LSConv2d by taps": lambda: LSConv2d(C, execution="taps"),
    "LSConv2d unfolded": lambda: LSConv2d(C, execution="unfold"),
    "PfBottleneck max": lambda: PfBottleneck(C, C, width=8, spatial="max"),
    "PfBottleneck hybrid": lambda: PfBottleneck(C, 32, width=8, spatial="hybrid", stride=2),
    "DiCoConv2d": lambda: DiCoConv2d(C),
}

SUITES = {  # variants x stages x batches x layouts; of the networks, training only at batch 128
    "inception_next": 7 * 4 * 2 * 2,
    "inception_next_networks": 9 * 3,
    "spatial_mixers": 11 * 3 * 2,
    "mixer_blocks": 6 * 3 * 2 * 2,
    "spatial_mixer_networks": 11 * 2,
}


def example(name: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return LAYERS[name]().eval(), torch.randn(2, C, 10, 10)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", list(LAYERS))
def test_every_number_format_gives_the_numbers_of_float64_to_its_precision(name, dtype):
    layer, x = example(name)
    layer, x = layer.to(dtype), x.to(dtype)
    found = layer(x)
    assert found.dtype == dtype
    expected = layer.double()(x.double())
    # A chain of about ten layers, each rounding sums of order one.
    error = float((found.double() - expected).abs().max() / expected.abs().max())
    assert error < 16 * torch.finfo(dtype).eps


@torch.no_grad()
@pytest.mark.parametrize("name", list(LAYERS))
def test_channels_last_gives_the_same_numbers(name):
    layer, x = (part.double() for part in example(name))
    expected = layer(x)
    found = layer.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", list(SUITES))
def test_every_case_of_a_suite_is_counted_and_pairs_match_in_macs(name):
    cases, _ = expand(load_suite(name))
    assert len(cases) == SUITES[name]
    # One batch, one layout and one mode of each are enough: the others differ in no name.
    first = {axis: cases[0].point.get(axis) for axis in ("batch", "layout", "mode")}
    chosen = [case for case in cases if all(case.point.get(axis) == value for axis, value in first.items())]
    plans = {(case.comparison, case.variant): plan_workload(case) for case in chosen}
    assert not any(plan.unknown for plan in plans.values())
    for case in chosen:
        if case.pair:
            ratio = plans[case.comparison, case.variant].macs / plans[case.comparison, case.pair].macs
            assert 0.9 < ratio < 1.1, (case.id, ratio)


@pytest.mark.parametrize("name", list(SUITES))
def test_the_quick_part_has_every_variant_or_a_reason(name):
    cases, skipped = expand(load_suite(name), quick=True)
    assert cases
    seen = {case.variant for case in cases} | {skip.case_id.split(" | ")[0] for skip in skipped}
    assert seen == set(load_suite(name).variants)
    assert {case.dtype for case in cases} == {"float32"}


def test_the_g_sweep_has_every_feasible_group_size_at_every_stage():
    cases, skipped = expand(load_suite("gconv_sweep"), settings={"batch": [1]})
    sizes = (1, 2, 4, 8, 16, 32, 64)
    stages = {(c.point["network"], c.point["channels"], c.point["stride"]): c.point["channels"] for c in cases}
    assert len(stages) == 9 + 4
    assert len(cases) == sum(size <= channels for channels in stages.values() for size in sizes)
    assert [skip.case_id.split()[1] for skip in skipped] == ["G=64"]
    # ResNeXt-50's four shapes are MobileNet-V1's: seven sizes at eight of its widths, six at 32 channels.
    assert len({plan_workload(case).work for case in cases}) == 8 * 7 + 6
