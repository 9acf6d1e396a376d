import re
import time

import pytest
import torch
from torch import nn

import energybench
from energybench.analysis.summary import summarize
from energybench.journal import load
from energybench.measurement import _check_places

X = torch.randn(1, 64, 28, 28)
CONV_MACS = 28 * 28 * 64 * 64 * 9


def conv(groups=1):
    return nn.Conv2d(64, 64, 3, padding=1, groups=groups)


class LooksAtValues(nn.Module):
    def forward(self, x):
        return 2 * x if float(x.sum()) > -1e9 else x


class Fails(nn.Module):
    def forward(self, x):
        raise RuntimeError("no such kernel")


class Sleeps(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return x


def test_a_module_on_a_simulated_board_costs_what_its_truth_says():
    result = energybench.measure(conv(), X, device="sim:h200")
    (truth,) = (t for work, t in result.summary.run.record.truth.items() if work != "constants")
    assert result.provenance == "simulated"
    assert result.macs == CONV_MACS
    assert result.energy_per_inference_j == pytest.approx(truth["energy_per_iteration_j"], rel=5e-3)
    assert result.energy_per_inference_low_j < result.energy_per_inference_j < result.energy_per_inference_high_j
    assert result.energy_per_inference_j == pytest.approx(result.power_w * result.loop_latency_s)


def test_several_modules_are_judged_against_the_first_by_mirrored_blocks():
    results = energybench.measure({"dense": conv(), "grouped": conv(8)}, X, device="sim:h200")
    assert list(results) == ["dense", "grouped"]
    assert results["dense"].energy_ratio is None
    ratio = results["grouped"].energy_per_inference_j / results["dense"].energy_per_inference_j
    assert results["grouped"].energy_ratio == pytest.approx(ratio, rel=5e-3)
    assert results["grouped"].macs * 8 == results["dense"].macs


def test_joules_are_per_inference_of_the_first_axis():
    one, eight = (energybench.measure(conv(), torch.randn(n, 64, 28, 28), device="sim:h200") for n in (1, 8))
    assert (one.batch, eight.batch) == (1, 8)
    assert eight.energy_per_inference_j * 8 == pytest.approx(eight.power_w * eight.loop_latency_s)


def test_real_modules_are_timed_and_given_back_as_they_came():
    module = nn.Sequential(conv(), nn.BatchNorm2d(64), nn.Dropout())
    module[2].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    result = energybench.measure(module, X, quick=True)
    assert result.loop_latency_s > 0
    assert result.status == "ok"
    assert result.energy_per_inference_j is not None or "no joules" in result.reason
    assert (module.training, module[1].training, module[2].training) == (True, True, False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_the_slower_of_two_real_modules_is_seen_to_be_slower():
    results = energybench.measure({"short": Sleeps(1e-3), "long": Sleeps(3e-3)}, X, quick=True)
    assert results["long"].latency_ratio > 1.5


def test_the_inputs_keep_their_values_in_every_set():
    seen = set()

    class Looks(nn.Module):
        def forward(self, x):
            seen.add(float(x.sum()))
            return x

    energybench.measure(Looks(), torch.full((1, 8), 3.0), quick=True)
    assert seen <= {24.0}
    assert seen


def test_a_module_whose_cost_cannot_be_counted_is_measured_without_macs():
    result = energybench.measure(LooksAtValues(), X, quick=True)
    assert result.status == "ok"
    assert result.macs is None
    with pytest.raises(energybench.EnergyBenchError, match="does not run on shapes alone"):
        energybench.measure(LooksAtValues(), X, device="sim:h200")


def test_a_module_that_fails_is_a_result_and_the_others_are_measured():
    results = energybench.measure({"works": conv(), "fails": Fails()}, X, quick=True)
    assert results["works"].status == "ok"
    assert results["fails"].status == "failed"
    assert "no such kernel" in str(results["fails"])


@pytest.mark.parametrize("inputs", [3, (), (X, "y"), torch.tensor(1.0)])
def test_inputs_that_are_no_tensors_are_refused_in_words(inputs):
    with pytest.raises(energybench.EnergyBenchError, match="inputs must be tensors"):
        energybench.measure(conv(), inputs)


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (torch.relu, "module is a builtin_function_or_method, not a torch.nn.Module"),
        ({"mine": lambda x: x}, "mine is a function, not a torch.nn.Module"),
        ({"kind": nn.ReLU}, "kind is a type, not a torch.nn.Module"),
        ({}, "there is no module to measure"),
        ({1: nn.ReLU()}, "a module is called 1, not by text"),
    ],
)
def test_what_is_no_module_is_refused_in_words(modules, words):
    with pytest.raises(energybench.EnergyBenchError, match=re.escape(words)):
        energybench.measure(modules, X)


@pytest.mark.parametrize(
    "wish",
    [
        {"precision": "nonsense"},
        {"precision": 5},
        {"precision": -1},
        {"precision": 0},
        {"precision": True},
        {"precision": float("nan")},
        {"budget_s": -5},
        {"budget_s": 0},
        {"budget_s": "1min"},
        {"cache": "cold"},
    ],
)
def test_a_wish_out_of_its_range_is_refused_in_words(wish):
    ((name, value),) = wish.items()
    with pytest.raises(energybench.EnergyBenchError, match=re.escape(f"{name} is {value!r}")):
        energybench.measure(conv(), X, **wish)


def test_a_device_that_does_not_exist_is_what_is_said_first():
    with pytest.raises(energybench.EnergyBenchError, match="there is no device 'tpu'"):
        energybench.measure(conv(), X, device="tpu")


def test_inputs_that_do_not_fit_are_told_in_torchs_own_words():
    with pytest.raises(energybench.EnergyBenchError, match=r"on shapes alone: RuntimeError: .*channel") as caught:
        energybench.measure(conv(), torch.randn(1, 3, 8, 8), device="sim:h200")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_budget_without_room_for_a_window_says_so():
    result = energybench.measure(conv(), X, device="sim:h200", budget_s=0.001)
    assert result.status == "missing"
    assert "the budget ended before its first window" in str(result)


class Elsewhere:
    """Stands in for a tensor on a GPU: its place is all that is looked at."""

    device = torch.device("cuda:1")


def test_a_module_on_another_gpu_than_the_watched_one_is_refused():
    with pytest.raises(energybench.EnergyBenchError, match="are on cuda:1, but cuda:0 is to run them"):
        _check_places("cuda:0", {"mine": nn.ReLU()}, [Elsewhere()])
    _check_places("cuda:1", {"mine": nn.ReLU()}, [Elsewhere()])


def test_a_module_elsewhere_than_its_inputs_is_refused():
    with pytest.raises(energybench.EnergyBenchError, match="are on meta"):
        energybench.measure(conv().to("meta"), X)


def test_the_run_folder_is_kept_where_it_is_wanted_and_says_the_same(tmp_path):
    result = energybench.measure(conv(), X, device="sim:h200", output=tmp_path / "kept")
    again = summarize(load(tmp_path / "kept"))
    assert again.cases["energy_per_inference_j"].item() == result.energy_per_inference_j
    assert energybench.summarize(tmp_path / "kept").cases.equals(again.cases)
