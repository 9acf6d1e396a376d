"""How does work run on a CUDA GPU? As CUDA graphs of many iterations, queued ahead, timed by events on their stream.

One replay lasts at least a few milliseconds, so that launches and event resolution (0.5 us) are below 0.1 %. What
cannot be captured runs eagerly, chunk by chunk, and says so (`launch`): gaps between its kernels change its joules.

Source: `measurement.md` 4.1 to 4.3.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Sequence

import torch

from energybench.clock import RealClock
from energybench.devices import DeviceFacts, LatencySamples, Prepared, samples_in
from energybench.devices.cuda_loop import CudaLoop, CudaPrepared
from energybench.errors import CaseError, DeviceError, one_line
from energybench.workload import (
    Built,
    WorkPlan,
    build,
    check_compiled,
    check_outputs,
    compiled_graphs,
    disagreement,
)

CHUNK_S = 5e-3
"""Length of one replay: 1000 times the launch of a graph, short beside any sensor's refresh."""

MAX_NODES = 20_000
SHORT_S = 50e-6
"""Iterations shorter than this are timed in groups spanning ``GROUP_S``: events resolve 0.5 us."""
GROUP_S = 500e-6
MAX_LATENCY_GRAPHS = 16
WARM_UP = 5
EAGER_S, MOST_EAGER = 0.02, 2048
"""Time, and most iterations, that show how much slower the host's launches are than a graph's."""


class CudaDevice:
    """One CUDA GPU, found by PyTorch's index (which follows CUDA_VISIBLE_DEVICES) or by UUID.

    Raises:
        DeviceError: there is no such GPU, or PyTorch cannot use it.
    """

    def __init__(self, which: str = "0", *, seed: int = 0, plugins: Sequence[str] = ()) -> None:
        self.clock = RealClock()
        self._seed = seed
        self._plugins = tuple(plugins)
        index = _find(which)
        self._device = torch.device("cuda", index)
        try:
            torch.cuda.set_device(self._device)
            torch.zeros(1, device=self._device)
            torch.cuda.synchronize(self._device)
        except RuntimeError as error:
            raise DeviceError(
                f"PyTorch cannot use it: {one_line(error)}",
                where=f"cuda:{index}",
                remedy="compare `nvidia-smi` with `python -c 'import torch; print(torch.version.cuda)'`",
            ) from error
        properties = torch.cuda.get_device_properties(self._device)
        self.facts = DeviceFacts(
            name=f"cuda:{index}",
            title=properties.name,
            uuid=f"GPU-{properties.uuid}",
            pci_bus_id=_pci_bus_id(properties),
            memory_bytes=properties.total_memory,
            l2_bytes=properties.L2_cache_size,
            details={
                "compute_capability": f"{properties.major}.{properties.minor}",
                "sms": properties.multi_processor_count,
                "cuda": str(torch.version.cuda),
                "cudnn": torch.backends.cudnn.version(),
                "cudnn_benchmark": True,
            },
        )
        torch.backends.cudnn.benchmark = True

    def disagreement(self, plan: WorkPlan, baseline: WorkPlan) -> str:
        """Why the outputs of two variants differ, given the same weights; empty when they agree."""
        return disagreement(plan, baseline, self._device, seed=self._seed, plugins=self._plugins)

    def prepare(self, plan: WorkPlan) -> CudaPrepared:
        """Build, warm up, capture; raises CaseError when the work cannot run here."""
        begin_s = self.clock.now_s()
        try:
            held_before = torch.cuda.memory_allocated(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            built = build(plan, self._device, seed=self._seed, plugins=self._plugins, l2_bytes=self.facts.l2_bytes or 0)
            work = CudaPrepared(plan, built, torch.cuda.Stream(self._device))
            work.stream.wait_stream(torch.cuda.current_stream(self._device))
            graphs = compiled_graphs()
            with torch.cuda.stream(work.stream):
                check_outputs(built, plan)
                for i in range(max(WARM_UP, len(built.input_sets))):
                    built.step(i)
                if plan.case.compile and plan.given is None:
                    check_compiled(built.module, built.step, graphs)
                check_outputs(built, plan)
            work.stream.synchronize()
            work.iteration_s = self._timed(work, lambda: built.step(0), WARM_UP) / WARM_UP
            work.eager_latency_s = self._eager_latency_s(work, built)
            self._capture(work)
            rotation = sum(t.nbytes for inputs in built.input_sets[1:] for t in inputs)
            work.peak_memory_bytes = torch.cuda.max_memory_allocated(self._device) - held_before - rotation
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise CaseError(f"out of GPU memory: {one_line(error)}") from error
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            raise CaseError(one_line(error)) from error
        work.compile_s = self.clock.now_s() - begin_s
        return work

    def latency_samples(self, prepared: Prepared, budget_s: float) -> LatencySamples:
        """Time single iterations (or groups of short ones) by a pair of events each."""
        work = _own(prepared)
        count = samples_in(budget_s, work.iteration_s * work.group)
        pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)]
        with torch.cuda.stream(work.stream):
            for sample, (before, after) in enumerate(pairs):
                before.record(work.stream)
                work.run_group(sample)
                after.record(work.stream)
        work.stream.synchronize()
        samples = tuple(before.elapsed_time(after) * 1e-3 / work.group for before, after in pairs)
        return LatencySamples(samples, work.group)

    def loop(self, prepared: Prepared) -> CudaLoop:
        """Start a loop."""
        return CudaLoop(_own(prepared), self.clock)

    def free_memory_bytes(self) -> int | None:
        """Free device memory, as the driver says."""
        return torch.cuda.mem_get_info(self._device)[0]

    def fault(self) -> str:
        """What a failed kernel left behind: after an illegal address every later call fails, until the process ends."""
        try:
            torch.cuda.synchronize(self._device)
        except RuntimeError as error:
            return one_line(error)
        return ""

    def release(self, prepared: Prepared) -> None:
        """Drop module, inputs and graphs; of a context that is lost there is nothing to give back."""
        work = _own(prepared)
        work.graph = work.built = None
        work.group_graphs = []
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Wait for the device, unless its context is lost."""
        self.fault()

    def _capture(self, work: CudaPrepared) -> None:
        """Capture a chunk and a latency group as graphs; fall back to eager chunks and say why."""
        built = work.built
        if built is None:
            raise CaseError("the work was already released")
        sets = len(built.input_sets)
        nodes = max(1, len(work.plan.operators))
        try:
            probe = self._captured(work, sets)
            work.iteration_s = self._timed(work, probe.replay, WARM_UP) / (WARM_UP * sets)
            rounds = max(1, math.ceil(CHUNK_S / max(work.iteration_s * sets, 1e-7)))
            work.chunk = sets * min(rounds, max(1, MAX_NODES // (nodes * sets)))
            work.graph = self._captured(work, work.chunk)
            replays = max(1, math.ceil(EAGER_S / CHUNK_S))
            work.graph_latency_s = self._timed(work, work.graph.replay, replays) / (replays * work.chunk)
            work.group_graphs = self._latency_graphs(work, sets)
            work.launch = "graph"
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            torch.cuda.synchronize(self._device)
            work.graph, work.group_graphs, work.graph_latency_s = None, [], None
            work.chunk = max(1, round(CHUNK_S / max(work.iteration_s, 1e-7)))
            work.group = max(1, math.ceil(GROUP_S / work.iteration_s)) if work.iteration_s < SHORT_S else 1
            work.notes = (*work.notes, f"not captured as a CUDA graph: {one_line(error)}")

    def _latency_graphs(self, work: CudaPrepared, sets: int) -> list[torch.cuda.CUDAGraph]:
        """Graphs whose replays in turn go through all input sets, as the loop does.

        Long iterations get a graph each; short ones, and those of many sets, one graph of whole rounds.
        """
        if work.iteration_s >= SHORT_S and sets <= MAX_LATENCY_GRAPHS:
            work.group = 1
            return [self._captured(work, 1, first=i) for i in range(sets)]
        rounds = max(1, math.ceil(GROUP_S / (work.iteration_s * sets)))
        work.group = rounds * sets
        return [self._captured(work, work.group)]

    def _captured(self, work: CudaPrepared, iterations: int, first: int = 0) -> torch.cuda.CUDAGraph:
        built = work.built
        if built is None:
            raise CaseError("the work was already released")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=work.stream):
            for i in range(first, first + iterations):
                built.step(i)
        with torch.cuda.stream(work.stream):
            graph.replay()
        work.stream.synchronize()
        return graph

    def _eager_latency_s(self, work: CudaPrepared, built: Built) -> float:
        """Device time per iteration when the host launches every kernel, over the same inputs as the loop's."""
        numbers = itertools.count()
        times = min(MOST_EAGER, max(len(built.input_sets), WARM_UP, math.ceil(EAGER_S / max(work.iteration_s, 1e-7))))
        return self._timed(work, lambda: built.step(next(numbers)), times) / times

    def _timed(self, work: CudaPrepared, run: Callable[[], object], times: int) -> float:
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        with torch.cuda.stream(work.stream):
            before.record(work.stream)
            for _ in range(times):
                run()
            after.record(work.stream)
        work.stream.synchronize()
        return float(before.elapsed_time(after)) * 1e-3


def uuid_of(which: str) -> str:
    """The UUID of a GPU given by index or UUID, without opening a context on it.

    Raises:
        DeviceError: there is no such GPU.
    """
    return f"GPU-{torch.cuda.get_device_properties(_find(which)).uuid}"


def _find(which: str) -> int:
    """The PyTorch index of a GPU given by index or UUID (with or without ``GPU-``, prefixes allowed)."""
    count = torch.cuda.device_count()
    if which.isdigit():
        if int(which) < count:
            return int(which)
        raise DeviceError(
            f"there is no GPU {which}; PyTorch sees {count}",
            where="--gpu",
            remedy="energybench doctor lists the GPUs; CUDA_VISIBLE_DEVICES renumbers them",
        )
    wanted = which.removeprefix("GPU-")
    uuids = [str(torch.cuda.get_device_properties(i).uuid) for i in range(count)]
    found = [i for i, uuid in enumerate(uuids) if wanted and uuid.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    seen = ", ".join(f"GPU-{uuid}" for uuid in uuids) or "none"
    raise DeviceError(f"no single GPU has the UUID {which!r}; PyTorch sees {seen}", where="--gpu")


def _pci_bus_id(properties: object) -> str | None:
    parts = [getattr(properties, name, None) for name in ("pci_domain_id", "pci_bus_id", "pci_device_id")]
    if any(part is None for part in parts):
        return None
    domain, bus, device = parts
    return f"{domain:08X}:{bus:02X}:{device:02X}.0"


def _own(prepared: Prepared) -> CudaPrepared:
    if not isinstance(prepared, CudaPrepared):
        raise TypeError("this work was prepared by another device")
    return prepared
