"""What does a module at hand cost? Measured as a suite's variants are, without a suite file."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pandas as pd
import yaml

from energybench.analysis.summary import Summary, summarize
from energybench.errors import EnergyBenchError, one_line
from energybench.journal import load
from energybench.progress import Quiet
from energybench.report.quantities import quantity
from energybench.session import run_study
from energybench.session.study import RunOptions, open_station, study_of
from energybench.suite import Suite, parse_suite
from energybench.suite.cases import expand
from energybench.workload import WorkPlan
from energybench.workload.given import as_modules, as_tensors, dtype_label, plan_given

if TYPE_CHECKING:
    from torch import Tensor, nn

ALONE = "module"
"""Name of a module that was handed over without one."""
CACHES = ("rotated", "hot")


@dataclass(frozen=True)
class Measurement:
    """What one module cost, with 95 % intervals; a number that cannot be known is None, and ``reason`` says why.

    Attributes:
        name: the name it was given.
        batch: inferences of one iteration: extent of the first axis of the first input.
        loop_latency_s: seconds per iteration, sustained; the one that goes with the joules.
        loop_latency_low_s: lower end of its interval.
        loop_latency_high_s: upper end.
        latency_s: median of single iterations.
        power_w: mean power of the board while looping.
        energy_per_inference_j: joules per inference.
        energy_per_inference_low_j: lower end of its interval (random part; gain apart).
        energy_per_inference_high_j: upper end.
        energy_ratio: over the first module's, from mirrored blocks; None for the first.
        energy_ratio_low: lower end of its interval.
        energy_ratio_high: upper end.
        latency_ratio: loop latency over the first module's.
        latency_ratio_low: lower end of its interval.
        latency_ratio_high: upper end.
        macs: multiply-accumulates per iteration; None where an operator's are unknown.
        status: ``ok`` or ``failed``.
        reason: why a number is missing, or the module failed.
        flags: words that bear on quality (``energybench.flags``).
        provenance: ``measured`` or ``simulated``.
        summary: every table of the run it belongs to.
    """

    name: str
    batch: int
    loop_latency_s: float | None
    loop_latency_low_s: float | None
    loop_latency_high_s: float | None
    latency_s: float | None
    power_w: float | None
    energy_per_inference_j: float | None
    energy_per_inference_low_j: float | None
    energy_per_inference_high_j: float | None
    energy_ratio: float | None
    energy_ratio_low: float | None
    energy_ratio_high: float | None
    latency_ratio: float | None
    latency_ratio_low: float | None
    latency_ratio_high: float | None
    macs: int | None
    status: str
    reason: str
    flags: tuple[str, ...]
    provenance: str
    summary: Summary

    def __str__(self) -> str:
        if self.status != "ok":
            return f"{self.name}: {self.status}: {self.reason}"
        words = [f"{self.name}:"]
        if self.energy_per_inference_j is not None:
            low, high = self.energy_per_inference_low_j, self.energy_per_inference_high_j
            interval = f" [{quantity(low, 'J')}, {quantity(high, 'J')}]" if low is not None and high is not None else ""
            words.append(f"{quantity(self.energy_per_inference_j, 'J')}{interval} per inference,")
        if self.loop_latency_s is not None:
            words.append(f"{quantity(self.loop_latency_s, 's')} per iteration of {self.batch}")
        if self.power_w is not None:
            words.append(f"at {quantity(self.power_w, 'W')}")
        if self.provenance != "measured":
            words.append(f"({self.provenance})")
        if self.reason:
            words.append(f"({self.reason})")
        return " ".join(words)


@overload
def measure(
    modules: nn.Module,
    inputs: Tensor | Sequence[Tensor],
    *,
    device: str | None = ...,
    meter: str | None = ...,
    precision: float | None = ...,
    budget_s: float | None = ...,
    quick: bool = ...,
    cache: str = ...,
    output: Path | str | None = ...,
) -> Measurement: ...


@overload
def measure(
    modules: Mapping[str, nn.Module],
    inputs: Tensor | Sequence[Tensor],
    *,
    device: str | None = ...,
    meter: str | None = ...,
    precision: float | None = ...,
    budget_s: float | None = ...,
    quick: bool = ...,
    cache: str = ...,
    output: Path | str | None = ...,
) -> dict[str, Measurement]: ...


def measure(
    modules: nn.Module | Mapping[str, nn.Module],
    inputs: Tensor | Sequence[Tensor],
    *,
    device: str | None = None,
    meter: str | None = None,
    precision: float | None = None,
    budget_s: float | None = None,
    quick: bool = False,
    cache: str = "rotated",
    output: Path | str | None = None,
) -> Measurement | dict[str, Measurement]:
    """Joules and latency of inference of one module, or of several that are compared, by the methods of a run.

    Several are measured interleaved in mirrored random blocks, and judged against the first. Each runs in evaluation
    mode under ``inference_mode`` and is given back in the mode it came in; its weights are not touched.

    Args:
        modules: a module, or named modules; on the device they are to run on. ``torch.compile``d ones too.
        inputs: the tensor or tensors that every module is called with, on the same device. The first axis of the
            first one counts inferences.
        device: ``cuda:0``, ``cpu``, or ``sim:h200`` to simulate from shapes; default: where the inputs are.
        meter: ``nvml``, ``rapl``, ``none``; default: the device's own.
        precision: wanted relative half-width of the 95 % interval; default 1 %.
        budget_s: stop after so many seconds.
        quick: short windows, for a first look.
        cache: ``rotated`` runs through copies of the inputs that are larger than twice the last cache, ``hot`` uses
            one set.
        output: keep the run folder here; by default it is not kept.

    Returns:
        One measurement, or a dictionary of them by name where several modules were given.

    Raises:
        EnergyBenchError: modules or inputs that are none or lie elsewhere, a wish out of its range, a device or meter
            that cannot be used.
    """
    named = as_modules(modules if isinstance(modules, Mapping) else {ALONE: modules})
    tensors = as_tensors(inputs)
    _check_wishes(precision, budget_s, cache)
    options = RunOptions(
        device=device or _device_of(tensors),
        meter=meter,
        precision=precision,
        budget_s=budget_s,
        quick=quick,
        fresh=True,
        command=("energybench.measure()",),
    )
    suite = _suite(named, tensors, cache)
    with _evaluating(named), tempfile.TemporaryDirectory(prefix="energybench-") as spare:
        options = replace(options, output=Path(output) if output is not None else Path(spare) / "run")
        with closing(open_station(options)) as station:
            if not station.device.facts.simulated:
                _check_places(station.device.facts.name, named, tensors)
            cases, skipped = expand(suite)
            plans = [plan_given(case, named[case.variant], tensors) for case in cases]
            if station.device.facts.simulated:
                _check_shapes_suffice(plans)
            folder = run_study(study_of(suite, plans, skipped, station, options), station, options, Quiet())
        summary = summarize(load(folder))
    found = {str(row["variant"]): _measurement(row, summary) for _, row in summary.cases.iterrows()}
    return found if isinstance(modules, Mapping) else found[ALONE]


def _device_of(tensors: Sequence[Tensor]) -> str:
    return str(tensors[0].device)


def _check_wishes(precision: float | None, budget_s: float | None, cache: str) -> None:
    """The wishes must be ones that can be met; YAML and command line check theirs where they read them."""
    wrong = []
    if precision is not None and not (_is_number(precision) and 0 < precision < 1):
        wrong.append((f"precision is {precision!r}", "a share between 0 and 1: precision=0.01 is 1 %"))
    if budget_s is not None and not (_is_number(budget_s) and budget_s > 0):
        wrong.append((f"budget_s is {budget_s!r}", "seconds above 0: budget_s=60"))
    if cache not in CACHES:
        wrong.append((f"cache is {cache!r}", f"one of {', '.join(CACHES)}"))
    for what, remedy in wrong:
        raise EnergyBenchError(what, where="energybench.measure", remedy=remedy)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_places(device: str, modules: Mapping[str, nn.Module], tensors: Sequence[Tensor]) -> None:
    """Modules and inputs must be on the very device that is to run them: another GPU would work unwatched."""
    for name, module in modules.items():
        held = [*tensors, *module.parameters(), *module.buffers()]
        elsewhere = next((str(t.device) for t in held if str(t.device) != device), None)
        if elsewhere is not None:
            raise EnergyBenchError(
                f"{name} or its inputs are on {elsewhere}, but {device} is to run them",
                where="energybench.measure",
                why="copying between devices would be measured, or another device than the one that is watched",
                remedy=f"module.to({device!r}) and inputs.to({device!r}), or device={elsewhere!r}",
            )


def _check_shapes_suffice(plans: Sequence[WorkPlan]) -> None:
    for plan in plans:
        error = plan.given.untraced if plan.given is not None else None
        if error is not None:
            raise EnergyBenchError(
                f"{plan.case.variant} does not run on shapes alone: {one_line(error)}",
                where="energybench.measure",
                why="a simulated device has no values, and would be simulating something else",
                remedy="correct the inputs where it says so; a module that looks at values needs a real device",
            ) from error


@contextmanager
def _evaluating(modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Modules in evaluation mode, and afterwards every part of them in the mode it came in."""
    modes = [(part, part.training) for module in modules.values() for part in module.modules()]
    try:
        for module in modules.values():
            module.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training


def _suite(modules: Mapping[str, nn.Module], tensors: Sequence[Tensor], cache: str) -> Suite:
    """The suite that says in words what is measured: it goes into the run's record."""
    variants = {
        name: {"layer": f"given:{type(module).__name__}", "args": {"name": name}, "compile": _is_compiled(module)}
        for name, module in modules.items()
    }
    document = {
        "name": "measure",
        "about": "Modules handed over in Python",
        "baseline": next(iter(modules), ALONE),
        "variants": variants,
        "inputs": [_input(tensor) for tensor in tensors],
        "axes": {"dtype": [dtype_label(modules.values(), tensors)], "cache": [cache]},
    }
    return parse_suite(yaml.safe_dump(document, sort_keys=False), "energybench.measure")


def _input(tensor: Tensor) -> list[int] | dict[str, Any]:
    shape = list(tensor.shape)
    return shape if tensor.is_floating_point() else {"shape": shape, "integers": int(tensor.max()) + 1}


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod")


def _measurement(row: pd.Series[Any], summary: Summary) -> Measurement:
    def number(column: str) -> float | None:
        value = row.get(column)
        return None if value is None or not math.isfinite(value) else float(value)

    flags = tuple(str(row["flags"] or "").split())
    judged = row["variant"] != summary.run.record.cases[0].baseline
    return Measurement(
        name=str(row["variant"]),
        batch=int(row["batch"]),
        macs=None if "unknown-operators" in flags else int(row["macs"]),
        status=str(row["status"]),
        reason=str(row["reason"] or ""),
        flags=flags,
        provenance=str(row["provenance"]),
        summary=summary,
        **{name: number(name) for name in _NUMBERS},
        **{name: number(name) if judged else None for name in _RATIOS},
    )


_NUMBERS = (
    "loop_latency_s",
    "loop_latency_low_s",
    "loop_latency_high_s",
    "latency_s",
    "power_w",
    "energy_per_inference_j",
    "energy_per_inference_low_j",
    "energy_per_inference_high_j",
)
_RATIOS = (
    "energy_ratio",
    "energy_ratio_low",
    "energy_ratio_high",
    "latency_ratio",
    "latency_ratio_low",
    "latency_ratio_high",
)
