import pytest
import torch
from torch import nn

import energybench

pytest_plugins = ["pytester"]

CONV = """
import torch
from torch import nn

X = torch.randn(1, 64, 28, 28)

def conv(groups=1):
    return nn.Conv2d(64, 64, 3, padding=1, groups=groups)

def test_it(energy_benchmark):
    result = energy_benchmark({call})
    assert result.loop_latency_s > 0
"""


def outcome(pytester, call, *arguments):
    pytester.makepyfile(CONV.replace("{call}", call))
    return pytester.runpytest_inprocess("-p", "no:xdist", "-rs", *arguments)


@pytest.mark.parametrize(
    ("limits", "passed"),
    [
        ("max_energy_per_inference_j=1.0", True),
        ("max_energy_per_inference_j=1e-9", False),
        ("max_loop_latency_s=1.0", True),
        ("max_loop_latency_s=1e-9", False),
        ("baseline=conv(8), max_energy_ratio=1000.0", True),
        ("baseline=conv(8), max_energy_ratio=0.001", False),
        ("baseline=conv(8), max_latency_ratio=0.001", False),
    ],
)
def test_a_broken_limit_fails_the_test_and_a_kept_one_does_not(pytester, limits, passed):
    result = outcome(pytester, f"conv(), X, {limits}", "--energy-device", "sim:h200")
    result.assert_outcomes(passed=int(passed), failed=int(not passed))
    result.stdout.fnmatch_lines(["*joules and latency*", "*per inference*simulated*"])
    if not passed:
        result.stdout.fnmatch_lines(["*95 % interval*is above the limit*"])


def test_without_a_meter_latency_is_judged_and_joules_are_skipped_with_the_reason(pytester):
    call = "conv(), X, max_loop_latency_s={limit}, max_energy_per_inference_j=1.0"
    options = ("--energy-device", "cpu", "--energy-meter", "none", "--energy-quick")
    skipped = outcome(pytester, call.replace("{limit}", "100.0"), *options)
    skipped.assert_outcomes(skipped=1)
    skipped.stdout.fnmatch_lines(["*energy_per_inference_j could not be held to 1*"])
    outcome(pytester, call.replace("{limit}", "1e-12"), *options).assert_outcomes(failed=1)
    outcome(pytester, call.replace("{limit}", "100.0"), *options, "--energy-required").assert_outcomes(failed=1)


def test_an_interval_that_holds_the_limit_fails_only_when_strict(pytester):
    layer = nn.Conv2d(64, 64, 3, padding=1)
    joules = energybench.measure({"module": layer}, torch.randn(1, 64, 28, 28), device="sim:h200")["module"]
    call = f"conv(), X, max_energy_per_inference_j={joules.energy_per_inference_j!r}"
    outcome(pytester, call, "--energy-device", "sim:h200").assert_outcomes(passed=1)
    outcome(pytester, call, "--energy-device", "sim:h200", "--energy-strict").assert_outcomes(failed=1)


def test_a_ratio_without_a_baseline_is_a_mistake_in_words(pytester):
    result = outcome(pytester, "conv(), X, max_energy_ratio=1.0", "--energy-device", "sim:h200")
    result.stdout.fnmatch_lines(["*a ratio needs a baseline*"])
