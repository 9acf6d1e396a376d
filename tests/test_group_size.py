from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energybench.analysis.allocation import divisors
from energybench.analysis.group_models import thesis_model
from energybench.analysis.group_size import GroupSizeAnswer, group_size_models, measured_optimum
from energybench.errors import EnergyBenchError, MachineError
from energybench.machine import load_machine

P100 = load_machine("p100-pcie")


def answer(**changes) -> GroupSizeAnswer:
    layer = {"channels": 128, "size": 28, "kernel": 3, "batch": 1, "dtype": "float32", "machine": P100}
    return group_size_models(**{**layer, **changes})


@pytest.mark.parametrize("channels", [32, 128, 1024])
@pytest.mark.parametrize("size", [7, 56])
def test_the_thesis_picks_one_group_size_for_every_width_and_size(channels: int, size: int):
    thesis = answer(channels=channels, size=size).thesis.optimum
    assert thesis.continuous == pytest.approx(8)
    assert thesis.choice == 8


def test_the_thesis_picks_72_for_pointwise_filters_at_the_same_weight():
    assert answer(channels=144, kernel=1).thesis.optimum.continuous == pytest.approx(72)


def test_the_cost_of_the_thesis_is_macs_plus_weighted_inverse_reuse():
    models = answer(beta_over_alpha=100.0)
    for G, macs, reuse, cost in zip(models.group_sizes, models.macs, models.reuse, models.thesis.cost, strict=True):
        assert macs == 128 * 784 * 9 * G
        assert cost == pytest.approx(macs / (128 * 784) + 100 / reuse)


def test_the_thesis_is_never_presented_as_the_papers_own_equation():
    warnings = " ".join(answer().thesis.optimum.warnings)
    assert "reconstruction, ours" in warnings
    assert "not a measured one" in warnings
    for model in (answer().thesis, answer().physical, answer().knee):
        assert "reconstruction, ours" in type(model).__doc__


def test_a_thesis_optimum_outside_the_range_is_named_not_clipped():
    thesis = answer(channels=4).thesis.optimum
    assert thesis.continuous is None
    assert "(8) lies at or above G = C = 4" in thesis.reason
    assert thesis.choice == 4


def test_without_a_cost_per_group_the_physical_model_has_no_optimum_and_says_so():
    physical = answer().physical
    assert physical.optimum.continuous is None
    assert "without a cost per group" in physical.optimum.reason
    assert physical.optimum.choice == 1
    assert physical.choice_per_mac == 128


def test_with_a_cost_per_group_the_physical_model_finds_the_least_of_its_own_curve():
    physical = answer(batch=32, group_overhead_s=2e-7).physical
    joules = [energy.total_j for energy in physical.energy]
    assert divisors(128)[joules.index(min(joules))] == physical.optimum.choice
    assert 1 < physical.optimum.continuous < 128
    assert physical.optimum.reason == ""


def test_physical_energy_is_per_inference_and_its_latency_per_iteration():
    one = answer(batch=64)
    energy, latency_s = one.physical.energy[3], one.physical.latency_s[3]
    assert energy.static_j * 64 == pytest.approx(P100.static_w * latency_s)
    assert one.physical.energy_per_mac_j[3] == pytest.approx(energy.total_j * 64 / one.macs[3])


def test_the_knee_picks_the_largest_feasible_group_size_below_it():
    knee = answer(batch=32).knee
    assert knee.optimum.continuous == pytest.approx(5.65, abs=5e-3)  # 4 B x 9.3e12 / 732e9 / 9
    assert knee.optimum.choice == 4
    times = dict(zip(divisors(128), knee.latency_s, strict=True))
    assert times[4] / times[1] < 1.01  # free
    assert times[16] / times[8] == pytest.approx(2)  # not any more


def test_a_knee_that_depends_on_the_batch_is_warned_about():
    h200 = load_machine("h200")
    small = answer(channels=1024, size=7, dtype="float16", machine=h200).knee
    assert small.knee_of_batch is None
    assert any("bound by memory at every group size" in warning for warning in small.optimum.warnings)


def test_assumed_constants_fallbacks_and_tensor_cores_are_warned_about():
    p100 = " ".join(answer(dtype="float16").physical.optimum.warnings)
    assert "p100-pcie has no float16 rate: the float32 rate is used" in p100
    assert "assumed, +-30 %" in p100
    h200 = answer(dtype="float16", machine=load_machine("h200"))
    assert "tensor cores" in " ".join(h200.knee.optimum.warnings)
    assert h200.physical.kernel.lanes == 8
    assert "launch" in " ".join(answer(channels=16, size=7).physical.optimum.warnings)
    fitted = replace(P100, provenance="fitted")
    assert "assumed" not in " ".join(answer(batch=64, machine=fitted).physical.optimum.warnings)


def test_a_network_restricts_every_model_to_the_group_sizes_it_can_have():
    models = answer(channels=1024, group_sizes=[32, 4, 8, 16, 8])
    assert models.group_sizes == (4, 8, 16, 32)
    assert [optimum.choice for optimum in models.optima] == [8, 4, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_sizes": [3, 8]}, r"group sizes \[3\] do not divide 128 channels"),
        ({"group_sizes": []}, "no group size was given"),
        ({"size": 0}, "at least 1"),
    ],
)
def test_impossible_layers_are_refused_with_a_remedy(changes, message):
    with pytest.raises(EnergyBenchError, match=message):
        answer(**changes)


def test_a_data_type_the_machine_has_no_rate_for_is_a_machine_error():
    with pytest.raises(MachineError, match="no peak for float8"):
        answer(dtype="float8")


@given(st.sampled_from([12, 96, 256]), st.floats(1, 1e5))
def test_the_thesis_choice_is_the_least_of_its_curve_over_the_divisors(channels: int, beta_over_alpha: float):
    shape = answer(channels=channels).shape
    sizes = divisors(channels)
    thesis = thesis_model(shape, sizes, beta_over_alpha)
    assert thesis.cost[sizes.index(thesis.optimum.choice)] == pytest.approx(min(thesis.cost))


def test_the_measured_optimum_comes_with_the_group_sizes_that_cannot_be_told_from_it():
    found = measured_optimum([8, 4, 16, 32], [1.00, 1.02, 1.10, 2.0], [0.98, 1.00, 1.06, 1.9], [1.02, 1.04, 1.14, 2.1])
    assert (found.group_size, found.joules) == (8, 1.00)
    assert found.indistinguishable == (4, 8)


def test_ratios_from_mirrored_pairs_tell_apart_what_overlapping_intervals_do_not():
    sizes, joules, low, high = [4, 8], [1.02, 1.00], [0.9, 0.9], [1.1, 1.1]
    assert measured_optimum(sizes, joules, low, high).indistinguishable == (4, 8)
    assert measured_optimum(sizes, joules, low, high, ratio_low=[1.01, 1.0]).indistinguishable == (8,)
    assert measured_optimum(sizes, joules, low, high, ratio_low=[math.nan, 1.0]).indistinguishable == (4, 8)


def test_group_sizes_without_joules_take_no_part_and_those_without_intervals_are_never_told_apart():
    nan = math.nan
    found = measured_optimum([2, 4, 8], [nan, 5.0, 1.0], [nan, nan, 0.9], [nan, nan, 1.1])
    assert (found.group_size, found.indistinguishable) == (8, (4, 8))
    assert measured_optimum([2, 4], [nan, nan], [nan, nan], [nan, nan]) is None
