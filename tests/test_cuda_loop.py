"""What keeps a GPU fed leaves the meter its turn: on a GPU of which only the time is real, a virtual one."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from energybench.clock import VirtualClock
from energybench.devices.cuda import MAX_LATENCY_GRAPHS, SAMPLE_S, _latency_groups
from energybench.devices.cuda_loop import CudaLoop
from energybench.readings import ENERGY, Reading
from energybench.runner.bench import poll_window

TICK_S = 0.02


class Gpu:
    """Runs chunks one after another, each launched by the host in ``launch_s``; its own stream and events."""

    def __init__(self, clock, launch_s, chunk_s, *, graph):
        self.clock = clock
        self.launch_s, self.chunk_s = launch_s, chunk_s
        self.done_s = 0.0
        self.stream = self
        self.graph = "captured" if graph else None
        self.chunk, self.iteration_s = 1, chunk_s

    def run_chunk(self):
        self.clock.sleep_until(self.clock.now_s() + self.launch_s)
        self.done_s = max(self.done_s, self.clock.now_s()) + self.chunk_s

    def synchronize(self):
        self.clock.sleep_until(self.done_s)


class Event:
    def __init__(self, enable_timing):
        assert enable_timing

    def record(self, gpu):
        self.gpu, self.time_s = gpu, max(gpu.done_s, gpu.clock.now_s())

    def query(self):
        return self.time_s <= self.gpu.clock.now_s()

    def synchronize(self):
        self.gpu.clock.sleep_until(self.time_s)

    def elapsed_time(self, other):
        return (other.time_s - self.time_s) * 1e3


class Counter:
    """An energy counter of a constant 300 W that moves every 20 ms."""

    def __init__(self, clock):
        self.clock = clock
        self.times_s = []

    def read(self, kinds):
        now_s = self.clock.now_s()
        self.times_s.append(now_s)
        return [Reading(now_s, ENERGY, 1 + 300 * TICK_S * int(now_s / TICK_S), None, 1e-4)]


def window(monkeypatch, launch_s, chunk_s, *, graph):
    """A window of a second; returns the loop, its stamps, and the times at which the meter was read."""
    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = VirtualClock()
    gpu, meter = Gpu(clock, launch_s, chunk_s, graph=graph), Counter(clock)
    plan = SimpleNamespace(skip_s=0.1, edge_poll_s=1e-3, align_s=TICK_S, poll_s=0.05)
    bench = SimpleNamespace(
        plan=plan,
        device=SimpleNamespace(clock=clock),
        metered=True,
        kinds=(ENERGY,),
        meter=meter,
        meter_lost=False,
        pace=None,
    )
    loop = CudaLoop(gpu, clock)
    begin_s = clock.now_s()
    assert poll_window(bench, loop, [], 1.0) == []
    return loop, loop.stop(), [t - begin_s for t in meter.times_s]


def test_a_loop_that_its_host_cannot_keep_up_with_leaves_the_meter_its_turn(monkeypatch):
    """Chunks that take the host 1.2 ms and the GPU one: the queue never fills, and polls wait for one chunk each."""
    _, stamps, times_s = window(monkeypatch, 1.2e-3, 1e-3, graph=False)
    assert sum(b - a < 2e-3 for a, b in pairwise(times_s)) > 10, "around two ticks, a millisecond apart"
    assert stamps[-1].time_s - stamps[0].time_s > 1.1


def test_kernels_that_are_launched_in_time_are_queued_ahead_and_leave_no_gap(monkeypatch):
    loop, stamps, _ = window(monkeypatch, 0.2e-3, 1e-3, graph=False)
    assert loop.gaps == 0
    longest_s = max(b.time_s - a.time_s for a, b in pairwise(stamps[1:]))
    assert longest_s == pytest.approx(1e-3)


def test_graphs_are_queued_all_at_once(monkeypatch):
    loop, stamps, _ = window(monkeypatch, 10e-6, 5e-3, graph=True)
    assert loop.gaps == 0
    assert not loop.feed(0.1)
    assert max(b.time_s - a.time_s for a, b in pairwise(stamps[1:])) == pytest.approx(5e-3)


@pytest.mark.parametrize("iteration_s", [2e-6, 70e-6, 499e-6, 500e-6, 3e-3])
@pytest.mark.parametrize("sets", [1, 3, MAX_LATENCY_GRAPHS, MAX_LATENCY_GRAPHS + 1, 500])
def test_every_timing_sample_spans_half_a_millisecond_and_all_inputs_have_their_turn(iteration_s, sets):
    groups = _latency_groups(iteration_s, sets)
    assert all(len(group) * iteration_s >= SAMPLE_S for group in groups)
    assert {i % sets for group in groups for i in group} == set(range(sets))
    counts = [sum(i % sets == chosen for group in groups for i in group) for chosen in range(sets)]
    assert len(set(counts)) == 1
    assert len({len(group) for group in groups}) == 1
