"""What is done with the fake library, inside a process that has no other? Opening, probing, polling, states.

Every function takes and returns JSON-able values; :meth:`fakenvml.build.FakeNvml.run` calls it there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from energybench.clock import RealClock
from energybench.errors import MeterError
from energybench.meters import Meter, MeterFault, open_meter
from energybench.readings import Reading
from fakenvml.boards import H100
from fakenvml.inside import Fake


def opened(uuid: str | None = None, pci: str | None = None, at_s: float = 5.0) -> tuple[Meter, Fake]:
    """A meter on the fake, and the fake as its clock, at a time."""
    fake = Fake()
    meter = open_meter("nvml", clock=fake, device_uuid=uuid, pci_bus_id=pci)
    fake.sleep_until(at_s)
    return meter, fake


def refusal(uuid: str | None = None, pci: str | None = None) -> dict[str, str]:
    """What is said when the meter cannot be opened."""
    try:
        opened(uuid, pci)
    except MeterError as error:
        return {"what": error.what, "why": error.why, "remedy": error.remedy, "type": type(error).__name__}
    return {}


def probed(uuid: str | None = None, pci: str | None = None) -> dict[str, Any]:
    """Capabilities, one reading of each kind, and the description."""
    meter, _ = opened(uuid, pci)
    found = asdict(meter.probe())
    return {**found, "values": {r.kind: r.value for r in meter.read()}, "described": meter.describe()}


def probed_with(configs: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The same for several configurations, one after another."""
    results = {}
    for name, config in configs.items():
        Fake().reconfigure(config)
        meter, _ = opened()
        capabilities = meter.probe()
        values = {r.kind: r.value for r in meter.read()}
        results[name] = {
            "kinds": capabilities.kinds,
            "refused": capabilities.refused,
            "reason": capabilities.energy_reason,
            "scope": capabilities.scope,
            "values": values,
        }
        meter.close()
    return results


def refused_with(configs: dict[str, str]) -> dict[str, dict[str, str]]:
    """What is said for several configurations with which the meter cannot be opened."""
    results = {}
    for name, config in configs.items():
        Fake().reconfigure(config)
        results[name] = refusal()
    return results


def polled(until_s: float, every_s: float, kinds: list[str] | None = None) -> dict[str, Any]:
    """All readings, faults, and the truth up to the time of each poll; the end, if the meter was lost."""
    meter, fake = opened()
    meter.probe()
    readings: list[tuple[Any, ...]] = []
    truth: list[float] = []
    end = ""
    start_s = fake.now_s()
    for poll in range(1, round((until_s - start_s) / every_s) + 1):
        fake.sleep_until(start_s + poll * every_s)
        try:
            readings += [tuple(reading) for reading in meter.read(kinds)]
        except MeterFault as fault:
            end = str(fault)
            break
        truth.append(fake.truth_j(0.0, fake.now_s()))
    return {"readings": readings, "faults": dict(meter.faults), "truth": truth, "end": end, "at_s": fake.now_s()}


def state_now(at_s: float = 20.0, processes: bool = False) -> dict[str, Any]:
    """The board's state, and this process's pid."""
    meter, _ = opened(at_s=at_s)
    return {**meter.state(processes=processes).model_dump(), "pid": os.getpid()}


def guests() -> list[int]:
    """Foreign pids, with this process's own among those that NVML lists."""
    own = f"process compute {os.getpid()}\nprocess graphics 23\nprocess mps 42\nprocess compute 42\n"
    Fake().reconfigure(H100 + own)
    meter, _ = opened()
    return list(meter.state(processes=True).processes or ())


def ledger() -> dict[str, float]:
    """Counter and truth of a load that says itself what it draws."""
    meter, fake = opened(at_s=0.0)
    fake.draw_w(50.0)
    for start_s, watts in ((1.0, 300.0), (2.5, 80.0), (4.0, 200.0)):
        fake.sleep_until(start_s)
        fake.draw_w(watts)
    fake.sleep_until(6.0)
    meter.probe()
    (reading,) = meter.read({"energy_j"})
    return {"counter": reading.value, "truth": fake.truth_j(0.0, 6.0), "high": fake.truth_j(1.0, 2.5)}


def ledger_of_two_processes() -> dict[str, float]:
    """The board as this process sees it, while another one draws power on the same ledger and clock."""
    meter, fake = opened(at_s=1.0)
    load = "from fakenvml.inside import Fake; f = Fake(start=True); f.draw_w(100.0); f.sleep_until(3.0); f.draw_w(0.0)"
    subprocess.run([sys.executable, "-c", load], check=True)
    meter.probe()
    (reading,) = meter.read({"energy_j"})
    return {"now": fake.now_s(), "truth": fake.truth_j(1.0, 3.0), "counter": reading.value}


def cpu_power() -> dict[str, float]:
    """Truth of a busy second part, and of a sleeping one, by this process's own CPU time."""
    open_meter("nvml", clock=RealClock())
    fake = Fake()
    start_s, cpu_s = fake.now_s(), time.process_time()
    while time.process_time() - cpu_s < 0.3:
        pass
    middle_s = fake.now_s()
    time.sleep(0.3)
    stop_s = fake.now_s()
    busy, idle = fake.truth_j(start_s, middle_s), fake.truth_j(middle_s, stop_s)
    return {"busy_j": busy - 20 * (middle_s - start_s), "idle_w": idle / (stop_s - middle_s)}


def real_time() -> dict[str, float]:
    """Joules between two counter ticks on the real clock, and the truth between the calls that enclose them."""
    clock = RealClock()
    meter = open_meter("nvml", clock=clock)
    meter.probe()
    fake = Fake()
    offset_s = fake.now_s() - clock.now_s()
    ticks: list[tuple[Reading, Reading]] = []
    (last,) = meter.read({"energy_j"})
    while len(ticks) < 4:
        (reading,) = meter.read({"energy_j"})
        if reading.value > last.value:
            ticks.append((last, reading))
        last = reading
    (before_first, first), (before_last, final) = ticks[0], ticks[-1]
    return {
        "counted": final.value - first.value,
        "least": fake.truth_j(end_s(first) + offset_s, begin_s(before_last) + offset_s),
        "most": fake.truth_j(begin_s(before_first) + offset_s, end_s(final) + offset_s),
        "call_s": final.call_s,
        "native_lag_s": time.time() - (final.native_time_s or 0.0),
    }


def begin_s(reading: Reading) -> float:
    """When the call began."""
    return reading.time_s - 0.5 * reading.call_s


def end_s(reading: Reading) -> float:
    """When the call ended."""
    return reading.time_s + 0.5 * reading.call_s


def refusal_without_library() -> dict[str, str]:
    """What is said where there is no libnvidia-ml.so.1; nothing where there is one."""
    try:
        open_meter("nvml", clock=RealClock()).close()
    except MeterError as error:
        return {"what": error.what, "remedy": error.remedy}
    return {}
