"""What will be measured, on what? A suite on an opened device: cases, shared work, comparisons, plan and estimate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from energybench.devices import Device
from energybench.devices.open import Watch, lock_name, open_device, open_meter_for
from energybench.devices.simulated import SimulatedDevice
from energybench.errors import SuiteError
from energybench.isolation import Step
from energybench.lock import DeviceLock
from energybench.machine import (
    Machine,
    load_machine,
    machine_for_device,
    missing_rate,
    predicted_energy_j,
    predicted_latency_s,
)
from energybench.meters import Capabilities, Meter
from energybench.planner import Estimate, Plan, estimate, percent, plan_measurement
from energybench.runner.bench import Comparison
from energybench.runner.budget import within_budget
from energybench.sensor import SensorProfile
from energybench.session.against_itself import doubled
from energybench.suite import Method, Suite
from energybench.suite.cases import MAX_CASES, Case, Skipped, expand
from energybench.workload import WorkPlan, plan_workload


@dataclass(frozen=True)
class RunOptions:
    """What the command line asked for.

    Attributes:
        allow_foreign: print joules although others used the board, each row flagged.
        case_limit_s: longest time of a single call that runs a case; its end ends the process (`watched`).
        machine: sheet the run is judged by, a name or a .yaml file; None: the device's own.
        isolated: which step of an isolated run this process is (`isolation`); None measures everything.
    """

    device: str | None = None
    meter: str | None = None
    machine: str | None = None
    output: Path | None = None
    results: Path = Path("results")
    quick: bool = False
    precision: float | None = None
    budget_s: float | None = None
    only: tuple[str, ...] = ()
    settings: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    fresh: bool = False
    force_resume: bool = False
    retry_failed: bool = False
    case_limit_s: float | None = None
    isolated: Step | None = None
    wait: bool = False
    allow_foreign: bool = False
    max_cases: int = MAX_CASES
    against_itself: bool = False
    operators: bool = False
    seed: int = 0
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """A suite as it will be measured on one device: cases, shared work, comparisons, plan and estimate.

    Attributes:
        suite: the suite.
        cases: every case with what it must do.
        skipped: what is left out, and why.
        comparisons: distinct sets of work, each measured once.
        measured_as: comparison of a case -> comparison it is measured in.
        plan: how windows are measured.
        estimate: what it will take.
        machine: the device's sheet, None where there is none.
    """

    suite: Suite
    cases: tuple[WorkPlan, ...]
    skipped: tuple[Skipped, ...]
    comparisons: tuple[Comparison, ...]
    measured_as: Mapping[str, str]
    plan: Plan
    estimate: Estimate
    machine: Machine | None

    @property
    def works(self) -> int:
        """Distinct measurements: pieces of work, counted once in every comparison that has them."""
        return sum(len(c.works) for c in self.comparisons)


@dataclass
class Station:
    """An opened device and the meter that watches it. A resource: close it."""

    device: Device
    watch: Watch
    notes: tuple[str, ...]
    lock: DeviceLock | None = None

    @property
    def meter(self) -> Meter:
        """The meter that watches the device."""
        return self.watch.meter

    @property
    def capabilities(self) -> Capabilities:
        """What the meter can do."""
        return self.watch.capabilities

    @property
    def sensor(self) -> SensorProfile | None:
        """What is known of the sensor; None where there are no readings."""
        return self.watch.sensor if self.watch.capabilities.kinds else None

    def close(self) -> None:
        """Close both, and let others measure."""
        self.meter.close()
        self.device.close()
        if self.lock is not None:
            self.lock.close()


def open_station(options: RunOptions, tell: Callable[[str], None] = lambda _: None) -> Station:
    """Open what the options name, or the best there is.

    The device is locked before it is opened: a context that waits would be a foreign process to the run it waits for.

    Args:
        options: device and meter; whether to wait for another run on the device.
        tell: is told whom we wait for.

    Raises:
        DeviceError: a device that was asked for cannot be used.
        MeterError: a meter that was asked for cannot be used.
    """
    name = lock_name(options.device)
    holder = " ".join(options.command)
    waits = options.wait or options.isolated is not None
    lock = DeviceLock(name, holder=holder, waiting=tell if waits else None) if name is not None else None
    with ExitStack() as opened:
        if lock is not None:
            opened.callback(lock.close)
        device, notes = open_device(options.device, seed=options.seed, plugins=options.plugins)
        opened.callback(device.close)
        watch = open_meter_for(device, options.meter, seed=options.seed)
        opened.pop_all()
    return Station(device, watch, notes, lock)


def plan_study(suite: Suite, station: Station, options: RunOptions) -> Study:
    """Cases, shared work, comparisons and estimates of ``suite`` on ``station``.

    Raises:
        SuiteError: a case cannot be constructed or run by shape.
    """
    cases, skipped = expand(
        suite, quick=options.quick, only=options.only, settings=options.settings, max_cases=options.max_cases
    )
    if not cases:
        raise SuiteError("no case is left to measure", where=suite.source, remedy="look at skip:, --only and --set")
    return study_of(suite, _planned(cases, options.plugins), skipped, station, options)


def _planned(cases: Sequence[Case], plugins: Sequence[str]) -> list[WorkPlan]:
    """The plan of every case; those that differ only in what neither layer nor inputs use are traced once."""
    known: dict[str, WorkPlan] = {}
    plans = []
    for case in cases:
        options = (case.dtype, case.layout, case.mode, case.cache, case.compile)
        key = repr((case.layer, case.args, case.inputs, options))
        if key not in known:
            known[key] = plan_workload(case, plugins=plugins)
        plans.append(replace(known[key], case=case))
    return plans


def study_of(
    suite: Suite, cases: Sequence[WorkPlan], skipped: Sequence[Skipped], station: Station, options: RunOptions
) -> Study:
    """Cases that are already planned, as a study: shared work, comparisons and estimates."""
    plans = tuple(cases)
    if options.against_itself:
        plans = doubled(plans)
    comparisons, measured_as = comparisons_of(plans)
    method, remark = _method_of(suite, options)
    sensor = station.sensor
    machine = _machine_of(station.device, options.machine)
    iteration_s = _longest_iteration_s(plans, machine)
    plan = plan_measurement(method, sensor, quick=options.quick, precision=options.precision, iteration_s=iteration_s)
    works = sum(len(c.works) for c in comparisons)
    plan = within_budget(replace(plan, remarks=(*remark, *plan.remarks)), works, len(comparisons))
    power_w = _expected_power_w(plans, machine) if sensor else None
    expected = estimate(plan, works, len(comparisons), power_w)
    return Study(suite, plans, tuple(skipped), comparisons, measured_as, plan, expected, machine)


def comparisons_of(plans: Sequence[WorkPlan]) -> tuple[tuple[Comparison, ...], dict[str, str]]:
    """Comparisons with the same set of work are one; within one, the same work is measured once."""
    by_set: dict[tuple[str, ...], Comparison] = {}
    measured_as: dict[str, str] = {}
    for name, group in itertools.groupby(plans, key=lambda p: p.case.comparison):
        members = list(group)
        baseline = next((p for p in members if p.case.variant == p.case.baseline), members[0])
        works: dict[str, WorkPlan] = {}
        for plan in [baseline, *members]:
            works.setdefault(plan.work, plan)
        key = (baseline.work, *sorted(works))
        comparison = by_set.setdefault(key, Comparison(name, tuple(works.values())))
        measured_as[name] = comparison.id
    return tuple(by_set.values()), measured_as


def _machine_of(device: Device, sheet: str | None) -> Machine | None:
    if sheet is not None:
        return load_machine(sheet)
    if isinstance(device, SimulatedDevice):
        return device.machine
    return machine_for_device(device.facts.title)


def _method_of(suite: Suite, options: RunOptions) -> tuple[Method, tuple[str, ...]]:
    """The suite's method as the command line has it; with what is to be said of it.

    A suite's budget is made for its own precision: who asks for a finer one without a budget gets it.
    """
    method, wanted = suite.method, options.precision
    if options.budget_s is not None:
        return method.model_copy(update={"budget_s": options.budget_s}), ()
    if wanted is None or method.budget_s is None or wanted >= method.precision:
        return method, ()
    said = f"the suite's budget of {method.budget_s / 60:.3g} min is for {percent(method.precision)}: it does not hold"
    return method.model_copy(update={"budget_s": None}), (f"{said} for --precision {percent(wanted)} without --budget",)


def _longest_iteration_s(plans: Sequence[WorkPlan], machine: Machine | None) -> float | None:
    """Of all cases, as modelled; None without a machine sheet, or where it says nothing of any case."""
    if machine is None:
        return None
    works = {p.work: p.operators for p in plans if not missing_rate(p.operators, machine)}
    return max((predicted_latency_s(operators, machine) for operators in works.values()), default=None)


def _expected_power_w(plans: Sequence[WorkPlan], machine: Machine | None) -> float | None:
    """Mean of the modelled powers; None without a machine sheet, or where it says nothing of any case."""
    if machine is None or not machine.has_energy:
        return None
    powers = [
        predicted_energy_j(p.operators, machine).total_j / predicted_latency_s(p.operators, machine)
        for p in plans
        if not missing_rate(p.operators, machine)
    ]
    return min(sum(powers) / len(powers), machine.tdp_w) if powers else None
