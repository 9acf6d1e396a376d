"""How does work run on the host's CPU? A worker thread loops, the main thread stays free to poll a meter."""

from __future__ import annotations

import contextvars
import os
import platform
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from energybench.clock import Clock, RealClock
from energybench.devices import FEWEST_SAMPLES, MOST_SAMPLES, DeviceFacts, LatencySamples, Prepared, Stamp
from energybench.errors import CaseError, one_line
from energybench.workload import (
    Built,
    WorkPlan,
    build,
    check_compiled,
    check_outputs,
    compiled_graphs,
    disagreement,
)

CHUNK_S = 2e-3
"""A stamp is taken about this often: often enough for edges, seldom enough to cost nothing."""

SWITCH_S = 2e-4
"""A thread that wants the interpreter waits this long at most (5 ms by default): a meter must be polled in time."""

WARM_UP = 3

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


class CpuPrepared:
    """A built and warm module on the CPU."""

    def __init__(self, plan: WorkPlan, built: Built, compile_s: float, iteration_s: float) -> None:
        self.plan = plan
        self.built: Built | None = built
        self.launch = "compiled" if plan.case.compile else "eager"
        self.compile_s = compile_s
        self.eager_latency_s: float | None = None
        self.graph_latency_s: float | None = None
        self.peak_memory_bytes: int | None = None
        self.iteration_s = iteration_s
        self.notes: tuple[str, ...] = built.notes
        self.flags: tuple[str, ...] = () if built.cold or plan.case.cache == "hot" else ("not-cold",)

    def step(self, iteration: int) -> None:
        """Run one iteration."""
        if self.built is None:
            raise CaseError("the work was already released")
        self.built.step(iteration)


class CpuLoop:
    """A loop in a worker thread; PyTorch leaves the interpreter lock while its kernels run."""

    def __init__(self, prepared: CpuPrepared, clock: Clock) -> None:
        self.gaps = 0
        self.host_stop_s: float | None = None
        self._prepared = prepared
        self._clock = clock
        self._halt = threading.Event()
        self._stamps = [Stamp(clock.now_s(), 0)]
        self._error: BaseException | None = None
        # Newer versions of torch keep its compiler's switches by context, and a new thread begins with an empty one.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="energybench-loop", daemon=True)
        self._thread.start()

    def feed(self, ahead_s: float) -> bool:  # noqa: ARG002  (the protocol's)
        """Nothing to queue: the worker feeds itself; only looks whether it still lives."""
        if self._error is not None:
            self.stop()
        return False

    def stop(self) -> Sequence[Stamp]:
        """Wait for the running chunk and return the stamps."""
        self._halt.set()
        self._thread.join()
        if self._error is not None:
            raise CaseError(f"failed while looping: {one_line(self._error)}") from self._error
        self.host_stop_s = self._stamps[-1].time_s  # one clock stamps the loop and the meter
        return tuple(self._stamps)

    def _run(self) -> None:
        chunk = max(1, int(CHUNK_S / max(self._prepared.iteration_s, 1e-9)))
        done = 0
        try:
            while not self._halt.is_set():
                for _ in range(chunk):
                    self._prepared.step(done)
                    done += 1
                self._stamps.append(Stamp(self._clock.now_s(), done))
        except Exception as error:  # noqa: BLE001  (whatever a user's layer raises must reach the main thread)
            self._error = error


class CpuDevice:
    """The host's CPU, with PyTorch's own thread pool."""

    def __init__(self, *, seed: int = 0, plugins: Sequence[str] = ()) -> None:
        self.clock = RealClock()
        self._switch_before_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        self._seed = seed
        self._plugins = tuple(plugins)
        self.facts = DeviceFacts(
            name="cpu",
            title=_cpu_title(),
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            l2_bytes=_last_level_cache_bytes(),
            details={"threads": torch.get_num_threads(), "capability": torch.backends.cpu.get_cpu_capability()},
        )

    def disagreement(self, plan: WorkPlan, baseline: WorkPlan) -> str:
        """Why the outputs of two variants differ, given the same weights; empty when they agree."""
        return disagreement(plan, baseline, torch.device("cpu"), seed=self._seed, plugins=self._plugins)

    def prepare(self, plan: WorkPlan) -> CpuPrepared:
        """Build and warm up; raises CaseError when the work cannot run here."""
        begin_s = self.clock.now_s()
        try:
            built = build(
                plan,
                torch.device("cpu"),
                seed=self._seed,
                plugins=self._plugins,
                l2_bytes=self.facts.l2_bytes,
            )
            graphs = compiled_graphs()
            check_outputs(built, plan)
            for i in range(WARM_UP):
                built.step(i)
            if plan.case.compile and plan.given is None:
                check_compiled(built.module, built.step, graphs)
            check_outputs(built, plan)
            warm_s = self.clock.now_s()
            for i in range(WARM_UP):
                built.step(i)
            now_s = self.clock.now_s()
        except (RuntimeError, TypeError, ValueError, NotImplementedError, MemoryError) as error:
            raise CaseError(one_line(error)) from error
        return CpuPrepared(plan, built, warm_s - begin_s, (now_s - warm_s) / WARM_UP)

    def latency_samples(self, prepared: Prepared, budget_s: float) -> LatencySamples:
        """Time single iterations by the host's clock."""
        work = _own(prepared)
        samples: list[float] = []
        end_s = self.clock.now_s() + budget_s
        before_s = self.clock.now_s()
        while len(samples) < FEWEST_SAMPLES or (before_s < end_s and len(samples) < MOST_SAMPLES):
            work.step(len(samples))
            now_s = self.clock.now_s()
            samples.append(now_s - before_s)
            before_s = now_s
        return LatencySamples(tuple(samples), 1)

    def loop(self, prepared: Prepared) -> CpuLoop:
        """Start the worker thread."""
        return CpuLoop(_own(prepared), self.clock)

    def free_memory_bytes(self) -> int | None:
        """What the kernel says could be taken without swapping."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")

    def fault(self) -> str:
        """Nothing: a CPU survives what it runs."""
        return ""

    def release(self, prepared: Prepared) -> None:
        """Drop module and inputs."""
        _own(prepared).built = None

    def close(self) -> None:
        """Leave the interpreter as it was found."""
        sys.setswitchinterval(self._switch_before_s)


def _own(prepared: Prepared) -> CpuPrepared:
    if not isinstance(prepared, CpuPrepared):
        raise TypeError("this work was prepared by another device")
    return prepared


def _cpu_title() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _last_level_cache_bytes(folder: Path = CACHES) -> int | None:
    """Size of the last cache before memory; None where the system does not say.

    Linux tells every cache of a core in a folder of its own (Documentation/ABI/testing/sysfs-devices-system-cpu);
    Python's ``os.sysconf`` knows no names of caches.
    """
    sizes: dict[int, int] = {}
    for cache in folder.glob("index*"):
        try:
            kind, level, size = ((cache / name).read_text().strip() for name in ("type", "level", "size"))
            told = int(size.removesuffix("K")) * 2**10
        except (OSError, ValueError):
            continue
        if kind in ("Unified", "Data") and told > 0:
            sizes[int(level)] = told
    return sizes[max(sizes)] if sizes else None
