"""How does work run on a CUDA GPU? As CUDA graphs of many iterations, queued ahead, timed by events on their stream.

One replay lasts at least a few milliseconds, so that launches and event resolution (0.5 us) are below 0.1 %. What
cannot be captured runs eagerly, chunk by chunk, and says so (`launch`): gaps between its kernels change its joules.

Source: `docs/derivations.md` 7.
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

EAGER_CHUNK_S = 1e-3
"""Length of a chunk that the host launches kernel by kernel: the meter is polled in between."""
MAX_NODES = 20_000
SAMPLE_S = 500e-6
"""Shorter iterations are timed in groups that span this: events resolve 0.5 us, and a graph begins some us after the
event before it (`docs/trust.md`, requirement 21)."""
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
        index = index_of(which)
        self._device = torch.device("cuda", index)
        # Where nobody used CUDA before, going back would open a context on a GPU that is not ours.
        self._device_before = torch.cuda.current_device() if torch.cuda.is_initialized() else None
        self._benchmark_before = torch.backends.cudnn.benchmark
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
        self.facts = facts_of(index)

    def disagreement(self, plan: WorkPlan, baseline: WorkPlan) -> str:
        """Why the outputs of two variants differ, given the same weights; empty when they agree."""
        return disagreement(plan, baseline, self._device, seed=self._seed, plugins=self._plugins)

    def prepare(self, plan: WorkPlan) -> CudaPrepared:
        """Build, warm up, capture; raises CaseError when the work cannot run here."""
        begin_s = self.clock.now_s()
        torch.backends.cudnn.benchmark = self._benchmark_before if plan.given is not None else True
        try:
            held_before = torch.cuda.memory_allocated(self._device)
            built = build(plan, self._device, seed=self._seed, plugins=self._plugins, l2_bytes=self.facts.l2_bytes)
            work = CudaPrepared(plan, built, torch.cuda.Stream(self._device))
            if plan.given is not None and not self._benchmark_before:
                work.notes += ("torch.backends.cudnn.benchmark is off, as its owner left it",)
            if plan.given is not None and torch.backends.cuda.matmul.allow_fp16_accumulation:
                work.notes += (
                    "float16 products are summed in float16, as their owner set it; peaks are with float32 sums",
                )
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
            # Only iterations count: not the statistics of batch norms, nor what cuDNN tried before it chose.
            torch.cuda.reset_peak_memory_stats(self._device)
            work.iteration_s = self._timed(work, lambda: built.step(0), WARM_UP) / WARM_UP
            work.eager_latency_s = self._eager_latency_s(work, built)
            rotation = sum(t.nbytes for inputs in built.input_sets[1:] for t in inputs)
            work.peak_memory_bytes = torch.cuda.max_memory_allocated(self._device) - held_before - rotation
            self._capture(work, built)
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
        """Free device memory, as the driver says, and what PyTorch holds of it without using it."""
        unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return torch.cuda.mem_get_info(self._device)[0] + unused

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
        """Wait for the device, unless its context is lost, and leave PyTorch's switches as they were found."""
        self.fault()
        torch.backends.cudnn.benchmark = self._benchmark_before
        if self._device_before is not None:
            with contextlib.suppress(RuntimeError):
                torch.cuda.set_device(self._device_before)

    def _capture(self, work: CudaPrepared, built: Built) -> None:
        """Capture a chunk and a latency group as graphs; fall back to eager chunks and say why."""
        eager_s = work.iteration_s
        try:
            self._capture_graphs(work, built)
            return
        except RuntimeError as error:  # out of memory too: what runs eagerly may not fit a second time
            why = one_line(error)
        # Out here the error is gone, and with its traceback whatever was captured.
        torch.cuda.synchronize(self._device)
        work.graph, work.group_graphs, work.graph_latency_s = None, [], None
        with contextlib.suppress(RuntimeError):  # some versions refuse while they believe a capture to be under way
            torch.cuda.empty_cache()
        self._end_capture_of_generator()
        work.iteration_s = eager_s
        work.chunk = max(1, round(EAGER_CHUNK_S / max(eager_s, 1e-7)))
        work.group = max(1, math.ceil(SAMPLE_S / max(eager_s, 1e-7)))
        work.notes = (*work.notes, f"not captured as a CUDA graph: {why}")
        self._timed(work, lambda: built.step(0), WARM_UP)

    def _capture_graphs(self, work: CudaPrepared, built: Built) -> None:
        """One round through all inputs, to be timed; then a chunk of many, and the graphs of the latency pass.

        All of them share the memory of the first: they run one after another on one stream, and none leaves anything
        behind that another reads. It is kept until the last is captured, because a pool that no graph uses is gone.
        """
        sets = len(built.input_sets)
        nodes = max(1, len(work.plan.operators))
        first = self._captured(work, built, range(sets))
        pool = first.pool()
        work.iteration_s = self._timed(work, first.replay, WARM_UP) / (WARM_UP * sets)
        rounds = max(1, math.ceil(CHUNK_S / max(work.iteration_s * sets, 1e-7)))
        work.chunk = sets * min(rounds, max(1, MAX_NODES // (nodes * sets)))
        work.graph = self._captured(work, built, range(work.chunk), pool)
        replays = max(1, math.ceil(EAGER_S / CHUNK_S))
        work.graph_latency_s = self._timed(work, work.graph.replay, replays) / (replays * work.chunk)
        groups = _latency_groups(work.iteration_s, sets)
        work.group = len(groups[0])
        work.group_graphs = [self._captured(work, built, group, pool) for group in groups]
        work.launch = "graph"

    def _captured(
        self, work: CudaPrepared, built: Built, iterations: range, pool: torch.cuda._POOL_HANDLE | None = None
    ) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=work.stream):
            for i in iterations:
                built.step(i)
        with torch.cuda.stream(work.stream):
            graph.replay()
        work.stream.synchronize()
        return graph

    def _end_capture_of_generator(self) -> None:
        """Give the default generator a state that no capture is under way of.

        A capture that fails at its end leaves the old one waiting for it, and every dropout after that would raise
        "Offset increment outside graph capture". Source: ATen/cuda/CUDAGraph.cpp, ``CUDAGraph::capture_end``.
        """
        generator = torch.cuda.default_generators[self._device.index]
        with contextlib.suppress(RuntimeError):
            generator.graphsafe_set_state(generator.clone_state())

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


def _latency_groups(iteration_s: float, sets: int) -> list[range]:
    """Iterations of each graph of the latency pass, whose replays in turn go through all input sets, as the loop does.

    Long iterations get a graph each; short ones, and those of many sets, one graph of whole rounds.
    """
    if iteration_s >= SAMPLE_S and sets <= MAX_LATENCY_GRAPHS:
        return [range(i, i + 1) for i in range(sets)]
    return [range(sets * max(1, math.ceil(SAMPLE_S / max(iteration_s * sets, 1e-7))))]


def facts_of(index: int) -> DeviceFacts:
    """What PyTorch says of the GPU that it counts as ``index``: among it what the meter will know the board by."""
    properties = torch.cuda.get_device_properties(index)
    return DeviceFacts(
        name=f"cuda:{index}",
        title=properties.name,
        uuid=f"GPU-{properties.uuid}",
        pci_bus_id=_pci_bus_id(properties),
        memory_bytes=properties.total_memory,
        l2_bytes=properties.L2_cache_size or None,
        details={
            "compute_capability": f"{properties.major}.{properties.minor}",
            "sms": properties.multi_processor_count,
            "cuda": str(torch.version.cuda),
            "cudnn": torch.backends.cudnn.version(),
            "cudnn_benchmark": True,
        },
    )


def uuid_of(which: str) -> str:
    """The UUID of a GPU given by index or UUID, without opening a context on it.

    Raises:
        DeviceError: there is no such GPU.
    """
    return f"GPU-{torch.cuda.get_device_properties(index_of(which)).uuid}"


def index_of(which: str) -> int:
    """The PyTorch index of a GPU given by index or UUID (with or without ``GPU-`` or ``MIG-``, prefixes allowed).

    Raises:
        DeviceError: there is no such GPU, or there are several.
    """
    count = torch.cuda.device_count()
    if which.isdigit():
        if int(which) < count:
            return int(which)
        raise DeviceError(
            f"there is no GPU {which}; PyTorch sees {count}",
            where="--gpu",
            remedy="energybench doctor lists the GPUs; CUDA_VISIBLE_DEVICES renumbers them",
        )
    wanted = which.removeprefix("GPU-").removeprefix("MIG-")
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
