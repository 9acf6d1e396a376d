"""How is work looped on a CUDA GPU? Chunks are queued ahead of it, each followed by an event that times it.

The events keep the GPU's time; the host's own clock is read once more when the last of them is seen, so that the two
can be held against each other. Source: `docs/derivations.md` 7.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import torch

from energybench.clock import Clock
from energybench.devices import Stamp
from energybench.errors import CaseError, one_line
from energybench.workload import Built, WorkPlan

FIRST_S = 0.1
"""Work queued when a loop begins."""


class CudaPrepared:
    """Work that is built, warm and, where possible, captured."""

    def __init__(self, plan: WorkPlan, built: Built, stream: torch.cuda.Stream) -> None:
        self.plan = plan
        self.built: Built | None = built
        self.stream = stream
        self.launch = "eager"
        self.compile_s = 0.0
        self.eager_latency_s: float | None = None
        self.graph_latency_s: float | None = None
        self.peak_memory_bytes: int | None = None
        self.iteration_s = 0.0
        self.notes: tuple[str, ...] = built.notes
        self.flags: tuple[str, ...] = () if built.cold or plan.case.cache == "hot" else ("not-cold",)
        self.chunk = 1
        self.graph: torch.cuda.CUDAGraph | None = None
        self.group = 1
        self.group_graphs: list[torch.cuda.CUDAGraph] = []
        self._next = 0

    def run_chunk(self) -> None:
        """Queue one chunk on the work's stream."""
        if self.graph is not None:
            self.graph.replay()
        else:
            self._run_eagerly(self.chunk)

    def run_group(self, sample: int) -> None:
        """Queue one sample of the latency pass, on the inputs that follow those of the sample before."""
        if self.group_graphs:
            self.group_graphs[sample % len(self.group_graphs)].replay()
        else:
            self._run_eagerly(self.group)

    def _run_eagerly(self, iterations: int) -> None:
        if self.built is None:
            raise CaseError("the work was already released")
        for _ in range(iterations):
            self.built.step(self._next)
            self._next += 1


class CudaLoop:
    """A gapless loop: chunks are queued ahead of the GPU, each followed by an event."""

    def __init__(self, prepared: CudaPrepared, clock: Clock) -> None:
        self._work = prepared
        self._events: list[torch.cuda.Event] = []
        self._pending: deque[torch.cuda.Event] = deque()
        self._chunk_s = max(prepared.iteration_s * prepared.chunk, 1e-6)
        self.gaps = 0
        self.host_stop_s: float | None = None
        self._clock = clock
        self._begin = torch.cuda.Event(enable_timing=True)
        with torch.cuda.stream(prepared.stream):
            prepared.stream.synchronize()
            self._begin.record(prepared.stream)
            self._begin.synchronize()
        self._begin_s = clock.now_s()
        self._queue(self._depth(FIRST_S))

    def feed(self, ahead_s: float) -> bool:
        """Queue chunks until ``ahead_s`` seconds of them wait, two at least; of eager work one chunk a call.

        Launching kernels takes the host's time, and where it takes more than the GPU does the queue never fills: who
        polls the meter in between must not wait for that. A thread of its own would not do: cuDNN's choices are kept
        by thread (ATen/native/cudnn/Conv_v8.cpp), and a new one would try them all again within the window.

        Returns:
            Whether more is wanted.
        """
        waited = bool(self._pending)
        while self._pending and self._pending[0].query():
            self._pending.popleft()
        if waited and not self._pending:
            self.gaps += 1
        missing = self._depth(ahead_s) - len(self._pending)
        self._queue(missing if self._work.graph is not None else min(missing, 1))
        return len(self._pending) < self._depth(ahead_s)

    def _depth(self, ahead_s: float) -> int:
        return max(2, math.ceil(ahead_s / self._chunk_s))

    def _queue(self, chunks: int) -> None:
        with torch.cuda.stream(self._work.stream):
            for _ in range(chunks):
                self._work.run_chunk()
                event = torch.cuda.Event(enable_timing=True)
                event.record(self._work.stream)
                self._events.append(event)
                self._pending.append(event)

    def stop(self) -> Sequence[Stamp]:
        """Wait for what is queued and turn the events into stamps on the host's clock."""
        try:
            running = not self._events[-1].query()
            self._work.stream.synchronize()
        except RuntimeError as error:
            raise CaseError(f"failed while looping: {one_line(error)}") from error
        if running:
            self.host_stop_s = self._clock.now_s()
        stamps = [Stamp(self._begin_s, 0)]
        for i, event in enumerate(self._events, start=1):
            stamps.append(Stamp(self._begin_s + self._begin.elapsed_time(event) * 1e-3, i * self._work.chunk))
        return tuple(stamps)
