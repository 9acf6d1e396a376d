"""A window that drifted is measured again and kept; clocks that disagree and compilers that wake up are told."""

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from fakenvml.boards import board, virtual
from fakenvml.inside import Fake
from quiet import SMALL, Remembering, measured

from energybench.analysis.guards import clocks_differ, host_bound_share
from energybench.analysis.measured import measured_works
from energybench.analysis.summary import summarize
from energybench.devices.open import open_meter_for
from energybench.devices.simulated import SimulatedDevice, SimulatedLoop
from energybench.journal import WindowRecord, load
from energybench.sensor import PROFILES
from energybench.session import RunOptions, Station, plan_study, run_study
from energybench.suite import parse_suite


class SteppingLoop(SimulatedLoop):
    """A loop whose power rises by a tenth when it has run for 0.12 s."""

    stepped = False

    def feed(self, ahead_s):
        clock = self._device.clock
        if not self.stepped and clock.now_s() >= self._begin_s + 0.12:
            self.stepped = True
            self._device.power.set(clock.now_s(), 1.1 * self.work.truth.power_w, iteration_s=self.work.iteration_s)


class SteppingDevice(SimulatedDevice):
    """A simulated V100, the 10 ms counter of which shows halves of 0.1 s; no window of it is steady."""

    def __init__(self):
        super().__init__("v100-sxm2")

    def loop(self, prepared):
        loop = SteppingLoop(self, prepared, 1.0, 1.0)
        loop.work = prepared
        return loop


def measured_on(device, tmp_path, progress=None, **options):
    chosen = RunOptions(results=tmp_path, **options)
    station = Station(device, open_meter_for(device, None), ())
    study = plan_study(parse_suite(SMALL), station, chosen)
    return run_study(study, station, chosen, progress or Remembering()), study


def by_place(folder):
    found = defaultdict(list)
    for w in load(folder).windows:
        if w.kind == "window":
            found[w.comparison, w.work, w.block].append(w)
    return found


def test_a_window_that_drifts_is_measured_again_and_both_are_kept_with_the_reason(tmp_path):
    folder, study = measured_on(SteppingDevice(), tmp_path, quick=True)
    assert study.plan.repeats == 1
    for windows in by_place(folder).values():
        assert [w.repeat for w in windows] == [0, 1]
        assert windows[0].because == ""
        assert re.search(r"the window before it drifted .*: power \+\d+\.\d%", windows[1].because)
    cases = summarize(load(folder)).cases
    assert (cases["windows"] == study.plan.windows).all()
    assert (cases["repeated_windows"] == study.plan.windows).all()
    assert cases["drift"].gt(0.01).all()
    assert cases["flags"].str.split().apply(lambda f: {"drift", "repeated"} <= set(f)).all()


def test_windows_that_were_measured_again_count_in_nothing_and_the_shift_says_what_they_would_change(tmp_path):
    folder, _ = measured_on(SteppingDevice(), tmp_path, quick=True)
    run = load(folder)
    for work in measured_works(run).values():
        last = {w.record.block: w.joules.energy_per_iteration_j for w in work.windows}
        assert work.energy_by_block == last
        counting = sum(last.values()) / len(last)
        left = [w.joules.energy_per_iteration_j for w, _ in work.repeated]
        together = (sum(last.values()) + sum(left)) / (len(last) + len(left))
        # Geometric and arithmetic means of values this close differ by far less than the shift.
        assert work.repeat_shift() == pytest.approx(together / counting - 1, abs=1e-3)
        assert all(reason for _, reason in work.repeated)


def test_three_repeats_are_the_most_and_a_steady_board_needs_none(tmp_path):
    folder, _ = measured_on(SteppingDevice(), tmp_path / "stepping", precision=0.5, settings={"channels": [32]})
    assert {len(windows) for windows in by_place(folder).values()} == {4}
    folder, _ = measured(tmp_path / "steady", device="sim:v100-sxm2", quick=True)
    assert {len(windows) for windows in by_place(folder).values()} == {1}
    assert (summarize(load(folder)).cases["repeat_shift"] == 0).all()


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_run_that_is_interrupted_between_a_window_and_its_repeat_goes_on(tmp_path, after):
    with pytest.raises(KeyboardInterrupt):
        measured_on(SteppingDevice(), tmp_path, progress=Remembering(interrupt_after=after), quick=True)
    folder, study = measured_on(SteppingDevice(), tmp_path, quick=True)
    run = load(folder)
    assert run.record.complete
    assert run.record.sessions == 2
    for work in measured_works(run).values():
        blocks = [w.record.block for w in work.windows]
        assert len(set(blocks)) == len(blocks) >= study.plan.windows


def stepping_behind_the_binding(folder):
    """Inside a process that has the fake library: a run on its virtual clock, and what its windows say."""
    fake = Fake(start=True)
    fake.sleep_until(3.0)
    device = SimulatedDevice("v100-sxm2")
    device.clock = fake
    device.facts = replace(device.facts, name="cuda:0", simulated=False)
    run, _ = measured_on(device, Path(folder), quick=True)
    return [[(w.repeat, w.because) for w in windows] for windows in by_place(run).values()]


def test_steps_of_a_real_boards_power_are_seen_through_its_counter(tmp_path, fake_nvml):
    """Power steps by a sixth every 0.65 s: some windows of 0.3 s hold a step, others do not."""
    steps = "square period_s=1.3 duty=0.5 low_w=200 high_w=235"
    config = virtual(board(PROFILES["volta"], steps, settings=("architecture 5", "name Tesla V100-SXM2-16GB")))
    places = fake_nvml.run(stepping_behind_the_binding, config, folder=str(tmp_path))
    again = [place for place in places if len(place) > 1]
    assert 0 < len(again) < len(places)
    assert all(": power " in place[1][1] for place in again)


class LateLoop(SimulatedLoop):
    """A loop whose host sees its end 1 % later than the device's own time says."""

    def stop(self):
        stamps = super().stop()
        self.host_stop_s = stamps[0].time_s + 1.01 * (stamps[-1].time_s - stamps[0].time_s)
        return stamps


class LateDevice(SimulatedDevice):
    """A simulated board whose clock is 1 % slow."""

    def loop(self, prepared):
        return LateLoop(self, prepared, 1.0, 1.0)


@pytest.mark.parametrize(("device", "apart"), [(SimulatedDevice, 0.0), (LateDevice, 1 / 1.01 - 1)])
def test_events_and_the_hosts_clock_are_compared_in_every_run(tmp_path, device, apart):
    folder, _ = measured_on(device("h200"), tmp_path, quick=True)
    cases = summarize(load(folder)).cases
    assert cases["event_vs_host"].tolist() == pytest.approx([apart] * len(cases), abs=1e-6)
    assert (cases["recompilations"] == 0).all()
    assert cases["flags"].str.contains("clocks-differ").all() == (apart != 0)


def test_a_host_that_came_too_late_to_see_the_end_says_nothing_of_the_clocks():
    stamps = [(1.0, 0), (2.0, 100)]
    assert clocks_differ(WindowRecord(number=0, kind="window", stamps=stamps)) is None
    assert clocks_differ(WindowRecord(number=0, kind="window", stamps=stamps, host_stop_s=1.99)) == pytest.approx(
        1 / 0.99 - 1
    )


@pytest.mark.parametrize(("eager_s", "graph_s", "share"), [(10e-6, 8e-6, 0.2), (8e-6, 9e-6, 0.0), (None, None, None)])
def test_the_hosts_share_is_what_a_graph_saves(eager_s, graph_s, share):
    latency = WindowRecord(number=0, kind="latency", eager_latency_s=eager_s, graph_latency_s=graph_s)
    assert host_bound_share(latency) == (share if share is None else pytest.approx(share))


CHANGING = '''
import torch


def scaled(x, scale):
    return x * scale


class Changing(torch.nn.Module):
    """A layer of which torch.compile must compile a part anew after every 150 iterations."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(256, 256)
        self.calls, self.width = 0, 1
        self.scaled = torch.compile(scaled, backend="eager", dynamic=False)  # tracing alone: no C++ compiler needed

    def forward(self, x):
        if x.is_meta:
            return scaled(self.linear(x), 1)
        self.calls += 1
        if self.calls % 150 == 0:
            self.width += 1
        return self.scaled(self.linear(x), self.width)
'''

COMPILED = """
name: compiled
baseline: changing
variants:
  changing: {layer: "changing:Changing"}
input: [512, 256]
"""


def test_a_window_during_which_torch_compiled_again_is_told(tmp_path):
    """Warm-up, latency pass and settling take some 190 iterations, the windows 240 more; at any speed from 0.63 of that
    on, a multiple of 150 falls into a window."""
    plugin = tmp_path / "changing.py"
    plugin.write_text(CHANGING)
    folder, _ = measured(tmp_path, text=COMPILED, device="cpu", meter="none", plugins=(str(plugin),), quick=True)
    (row,) = summarize(load(folder)).cases.to_dict("records")
    assert row["status"] == "ok", row["reason"]
    assert row["recompilations"] >= 1
    assert "recompiled" in row["flags"].split()
