"""How long does each operator of a piece of work take on its device, and which kernel runs it?

Iterations run under torch.profiler with every operator inside a range of its own, opened at the level at which
``workload.trace`` counts operators, so that both see the same sequence. On CUDA an operator's time is the sum of the
kernels launched inside its range (CUPTI), on the CPU the time of what it calls; neither holds the cost of profiling.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode

from energybench.devices import Device, Prepared
from energybench.devices.cpu import CpuPrepared
from energybench.devices.cuda_loop import CudaPrepared
from energybench.devices.simulated import SimulatedDevice, SimulatedPrepared
from energybench.devices.truth import operator_latency_s
from energybench.errors import CaseError, one_line
from energybench.workload import Built, WorkPlan
from energybench.workload.aten import is_free, operator_costs

os.environ.setdefault("KINETO_LOG_LEVEL", "6")
# at its level 5 torch 2.13's profiler writes two lines a session to stderr, into the progress bar

RANGE = "energybench operator "
WARM_UP = 1
PROFILED_S = 0.5
ITERATIONS = (4, 12)
"""Fewest and most iterations that count."""

WHOLE = {F.scaled_dot_product_attention: "attention", F.rms_norm: "rms_norm"}
"""Functions that the trace counts as one operator before they decompose, and what it calls them."""

Seen = tuple[tuple[str, ...], float]
"""Kernel names and seconds of one call."""


@dataclass(frozen=True)
class ProfiledOperator:
    """One operator of an iteration, in execution order.

    Attributes:
        name: as the trace calls it.
        macs: multiply-accumulates, None where the call does not say.
        kernel: what ran it, several joined by `` + ``; empty where nothing was seen.
        seconds: median over the iterations; None where nothing was seen, or where one call did the work of several.
    """

    name: str
    macs: int | None
    kernel: str
    seconds: float | None


def profile_operators(device: Device, prepared: Prepared) -> list[ProfiledOperator]:
    """Every operator of one iteration with its device time and kernel.

    Raises:
        CaseError: it cannot be profiled here, with the reason.
    """
    if isinstance(prepared, SimulatedPrepared) and isinstance(device, SimulatedDevice):
        return _hidden(device, prepared)
    if not isinstance(prepared, CpuPrepared | CudaPrepared) or prepared.built is None:
        raise CaseError("only work that this device prepared and still holds can be profiled")
    if prepared.plan.case.compile:
        raise CaseError("compiled work is fused: its kernels belong to no single operator")
    fewest, most = ITERATIONS
    count = WARM_UP + min(most, max(fewest, round(PROFILED_S / max(prepared.iteration_s, 1e-6))))
    on_cuda = isinstance(prepared, CudaPrepared)
    try:
        with _on_its_stream(prepared):
            calls, events = _profiled(_iteration(prepared.built, prepared.plan), count, on_cuda=on_cuda)
    except RuntimeError as error:
        raise CaseError(f"the profiler failed: {one_line(error)}") from error
    if any(names != calls[0] for names in calls[1:]):
        raise CaseError("its operators differ from iteration to iteration")
    find = _kernels_of if on_cuda else _work_of
    rounds = [[find(events.get(_range(i, k))) for k in range(len(calls[0]))] for i in range(WARM_UP, count)]
    if on_cuda and not any(found for row in rounds for found in row):
        raise CaseError("the profiler saw no kernel: CUPTI is missing or may not be used here")
    return [
        operator
        for k, call in enumerate(calls[0])
        for operator in called_operators(call, [row[k] for row in rounds], exact=on_cuda)
    ]


def _hidden(device: SimulatedDevice, prepared: SimulatedPrepared) -> list[ProfiledOperator]:
    """The simulated board's own times; slowed together where the board is at its power limit."""
    operators = prepared.plan.operators
    times = [operator_latency_s(op, device.machine) for op in operators]
    slowed = prepared.truth.latency_s / sum(times) if sum(times) else 1.0
    return [
        ProfiledOperator(op.name, op.macs, f"simulated {op.family}", time_s * slowed)
        for op, time_s in zip(operators, times, strict=True)
    ]


@dataclass(frozen=True)
class Call:
    """One call of an operator, with names and multiply-accumulates of the operators it is counted as."""

    names: tuple[str, ...]
    macs: tuple[int | None, ...]


class _Ranges(TorchDispatchMode):
    """Opens a profiler range around every operator that reaches the device."""

    def __init__(self, iteration: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.paused = False
        self._iteration = iteration

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if self.paused or is_free(func):
            return func(*args, **keywords)
        with self.opened():
            result = func(*args, **keywords)
        costs = operator_costs(func, args, keywords, result)
        self.calls.append(Call(tuple(c.name for c in costs), tuple(c.macs for c in costs)))
        return result

    def opened(self) -> contextlib.AbstractContextManager[Any]:
        """The range of the next call."""
        return record_function(_range(self._iteration, len(self.calls)))


class _Whole(TorchFunctionMode):
    """Opens one range around a function that the trace counts as one operator."""

    def __init__(self, ranges: _Ranges) -> None:
        super().__init__()
        self._ranges = ranges

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if func not in WHOLE or self._ranges.paused:
            return func(*args, **keywords)
        with self._ranges.opened():
            self._ranges.paused = True
            try:
                result = func(*args, **keywords)
            finally:
                self._ranges.paused = False
        self._ranges.calls.append(Call((WHOLE[func],), (None,)))
        return result


def _iteration(built: Built, plan: WorkPlan) -> Callable[[int], object]:
    """One iteration, in inference without gradients but not in inference mode.

    Inference mode hands composite operators (``conv2d``, ``batch_norm``) over whole, and the trace counts their parts.
    """

    def forward(i: int) -> None:
        with torch.no_grad():
            built.module(*built.input_sets[i % len(built.input_sets)])

    return forward if plan.case.mode == "inference" else built.step


def _profiled(
    iterate: Callable[[int], object], count: int, *, on_cuda: bool
) -> tuple[list[list[Call]], dict[str, Any]]:
    """The calls of each iteration, and the profiler's event of every range."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    calls = []
    with profile(activities=activities) as profiler:
        for iteration in range(count):
            ranges = _Ranges(iteration)
            with ranges, _Whole(ranges):
                iterate(iteration)
            calls.append(ranges.calls)
        if on_cuda:
            torch.cuda.current_stream().synchronize()
    # on CUDA every range appears a second time, as an annotation of the device's time line
    events = [e for e in profiler.events() or () if e.name.startswith(RANGE) and e.device_type.name == "CPU"]
    return calls, {e.name: e for e in events}


def _kernels_of(event: Any) -> Seen | None:
    """The kernels launched inside a range, those of its calls included; None where none was seen."""
    kernels = [k for e in _within(event) for k in e.kernels if not k.name.startswith(RANGE)]
    if not kernels:
        return None
    return tuple(k.name for k in kernels), sum(k.duration for k in kernels) * 1e-6


def _work_of(event: Any) -> Seen | None:
    """What a range called on the CPU: the call that itself took longest by name, and the seconds of all of them."""
    if event is None or not event.cpu_children:
        return None
    longest = max((e for e in _within(event) if e is not event), key=lambda e: e.self_cpu_time_total)
    return (longest.name.removeprefix("aten::"),), sum(e.cpu_time_total for e in event.cpu_children) * 1e-6


def _within(event: Any) -> Iterator[Any]:
    """A profiler event and all that it called; nothing for None."""
    if event is not None:
        yield event
        for child in event.cpu_children:
            yield from _within(child)


def called_operators(call: Call, rounds: Sequence[Seen | None], *, exact: bool) -> Iterable[ProfiledOperator]:
    """What the iterations say of one call; nothing where most of them saw nothing.

    Args:
        call: which operators it stands for.
        rounds: what each iteration saw of it.
        exact: count only iterations with the most frequent kernels, because the profiler may lose some of them at the
            start of a session; on the CPU the name is merely that of the longest part.
    """
    seen = [found for found in rounds if found is not None]
    usual = Counter(names for names, _ in seen).most_common(1)[0][0] if seen else ()
    times = [time_s for names, time_s in seen if names == usual or not exact]
    sure = 2 * len(times) > len(rounds)
    seconds = median(times) if sure and len(call.names) == 1 else None
    kernel = " + ".join(dict.fromkeys(usual)) if sure else ""
    return [ProfiledOperator(name, macs, kernel, seconds) for name, macs in zip(call.names, call.macs, strict=True)]


def _range(iteration: int, call: int) -> str:
    return f"{RANGE}{iteration} {call}"


def _on_its_stream(prepared: CpuPrepared | CudaPrepared) -> contextlib.AbstractContextManager[Any]:
    stream: Callable[[Any], contextlib.AbstractContextManager[Any]] = torch.cuda.stream
    return stream(prepared.stream) if isinstance(prepared, CudaPrepared) else contextlib.nullcontext()
