"""The CPU device really runs the work, in a thread of its own, and reports what goes wrong in it."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest

from energybench.devices.cpu import CpuDevice, _last_level_cache_bytes
from energybench.errors import CaseError
from energybench.suite import expand, parse_suite
from energybench.workload import plan_workload

SUITE = """
name: one
baseline: a
variants:
  a: {layer: "torch.nn:Linear", args: {in_features: 64, out_features: 64}}
input: [8, 64]
"""


@pytest.fixture(scope="module")
def device():
    return CpuDevice()


@pytest.fixture(scope="module")
def prepared(device):
    cases, _ = expand(parse_suite(SUITE))
    return device.prepare(plan_workload(cases[0]))


def test_a_loop_runs_until_it_is_stopped_and_stamps_its_progress(device, prepared):
    loop = device.loop(prepared)
    device.clock.sleep_until(device.clock.now_s() + 0.1)
    loop.feed(0.1)
    stamps = loop.stop()
    assert stamps[0].iterations == 0
    assert stamps[-1].iterations > 100
    assert stamps[-1].time_s - stamps[0].time_s >= 0.09
    assert all(b.time_s >= a.time_s and b.iterations > a.iterations for a, b in pairwise(stamps))


def test_latency_samples_are_single_iterations(device, prepared):
    samples = device.latency_samples(prepared, 0.05)
    assert samples.iterations_per_sample == 1
    assert 5 <= len(samples.samples_s) <= 500
    assert all(s > 0 for s in samples.samples_s)


def test_an_error_in_the_worker_reaches_the_caller_as_a_case_error(device):
    cases, _ = expand(parse_suite(SUITE))
    work = device.prepare(plan_workload(cases[0]))

    def fail(iteration):
        raise RuntimeError("broken on purpose")

    work.built.step = fail
    loop = device.loop(work)
    with pytest.raises(CaseError, match="broken on purpose"):
        loop.stop()


def test_released_work_cannot_be_run_again(device):
    cases, _ = expand(parse_suite(SUITE))
    work = device.prepare(plan_workload(cases[0]))
    device.release(work)
    with pytest.raises(CaseError, match="released"):
        device.latency_samples(work, 0.01)


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ({"3": "32768K", "2": "1024K"}, 2**25),
        ({"2": "1024K", "3": "0K"}, 2**20),
        ({"2": "1024K"}, 2**20),
        ({"2": "1024K", "3": "unknown"}, 2**20),
        ({}, None),
    ],
)
def test_the_last_cache_that_has_a_size_is_the_last_one(tmp_path, sizes, found):
    """As Linux tells them: a folder a cache, and at level 1 one for data and one for instructions."""
    told = [("1", "Data", "32K"), ("1", "Instruction", "32K")] if sizes else []
    told += [(level, "Unified", size) for level, size in sizes.items()]
    for index, words in enumerate(told):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, word in zip(("level", "type", "size"), words, strict=True):
            (folder / name).write_text(f"{word}\n")
    assert _last_level_cache_bytes(tmp_path) == found


@pytest.mark.skipif(not Path("/sys/devices/system/cpu/cpu0/cache").exists(), reason="this system tells of no caches")
def test_this_machines_last_level_cache_is_known(device):
    assert 2**18 <= device.facts.l2_bytes <= 2**31


def test_the_interpreter_is_left_as_it_was_found():
    before_s = sys.getswitchinterval()
    opened = CpuDevice()
    opened.close()
    assert sys.getswitchinterval() == pytest.approx(before_s, abs=2e-6)  # it is kept in whole microseconds


def test_the_device_says_what_it_is(device):
    assert device.facts.name == "cpu"
    assert device.facts.title
    assert device.facts.memory_bytes > 1e8
    assert not device.facts.simulated
