"""How is a comparison measured? Settle, idle, a latency pass, then mirrored random blocks of windows.

Only runs: every raw reading goes into the journal, and what is reported is derived from there. What a window says is
asked solely to decide when it may stop.
"""

from __future__ import annotations

from collections.abc import Sequence

from energybench.analysis.statistics import log_interval
from energybench.bench import Bench, Comparison, append, append_failure
from energybench.devices import Prepared
from energybench.errors import CaseError
from energybench.journal import WindowRecord
from energybench.settling import measure_idle, settle
from energybench.window import failures_as_rows, measured_window
from energybench.workload import WorkPlan, resident_bytes

MEMORY_SHARE = 0.8


def measure_comparison(bench: Bench, comparison: Comparison, *, last: bool = False) -> str:
    """Measure every piece of work of ``comparison`` until it is precise enough; a failing one becomes a row.

    Args:
        bench: device, meter, plan and journal.
        comparison: what to measure.
        last: whether idle is to be measured once more at the end.

    Returns:
        Why it stopped: ``converged``, ``windows``, ``budget`` or ``failed``.
    """
    stopped = "failed"
    bench.measuring = comparison.id
    for works in _that_fit_together(bench, comparison):
        held = [p for work in works if (p := _prepared(bench, comparison, work)) is not None]
        try:
            settled = _settled(bench, comparison, held)
            prepared = [work for work in settled if _fit_to_run(bench, comparison, work)]
            if prepared:
                stopped = _blocks(bench, comparison, prepared)
                if last:
                    measure_idle(bench, comparison)
        finally:
            for work in held:
                bench.device.release(work)
    return stopped


def _that_fit_together(bench: Bench, comparison: Comparison) -> list[tuple[WorkPlan, ...]]:
    """All works at once where memory allows, else sub-blocks that all contain the baseline's work."""
    free = bench.device.free_memory_bytes()
    works = tuple(work for work in comparison.works if (comparison.id, work.work) not in bench.given_up)
    if not works:
        return []
    l2_bytes = bench.device.facts.l2_bytes or 0
    needs_bytes = {work.work: resident_bytes(work, l2_bytes) for work in works}
    if free is None or sum(needs_bytes.values()) <= MEMORY_SHARE * free:
        return [works]
    baseline, *others = works
    groups: list[tuple[WorkPlan, ...]] = []
    group: list[WorkPlan] = [baseline]
    for work in others:
        if len(group) > 1 and sum(needs_bytes[w.work] for w in [*group, work]) > MEMORY_SHARE * free:
            groups.append(tuple(group))
            group = [baseline]
        group.append(work)
    groups.append(tuple(group))
    if len(groups) > 1:
        bench.note(
            f"{comparison.id}: its variants do not fit into memory together; "
            f"measured in {len(groups)} sub-blocks, each with the baseline"
        )
    return groups


def _prepared(bench: Bench, comparison: Comparison, work: WorkPlan) -> Prepared | None:
    bench.progress.doing(f"preparing {work.case.id}")
    try:
        if work.case.equivalent and work.work != comparison.works[0].work:
            problem = bench.device.disagreement(work, comparison.works[0])
            if problem:
                raise CaseError(problem)
        with failures_as_rows():
            prepared = bench.device.prepare(work)
    except CaseError as error:
        append_failure(bench, comparison, work, error)
        return None
    for note in prepared.notes:
        bench.note(f"{work.case.id}: {note}")
    return prepared


def _settled(bench: Bench, comparison: Comparison, prepared: Sequence[Prepared]) -> list[Prepared]:
    """Settle on the first work that loops; those that do not are rows."""
    working = list(prepared)
    while working:
        try:
            with failures_as_rows():
                settle(bench, comparison, working[0])
            break
        except CaseError as error:
            append_failure(bench, comparison, working.pop(0).plan, error)
    return working


def _fit_to_run(bench: Bench, comparison: Comparison, work: Prepared) -> bool:
    """Whether a piece of work runs at all: its latency pass, which also finds out what fails only when it runs."""
    try:
        with failures_as_rows():
            _latency_pass(bench, comparison, work)
    except CaseError as error:
        append_failure(bench, comparison, work.plan, error)
        return False
    return True


def _latency_pass(bench: Bench, comparison: Comparison, work: Prepared) -> None:
    if any(w.kind == "latency" and w.work == work.plan.work for w in bench.journal.windows):
        return
    bench.progress.doing(f"latency of {work.plan.case.id}")
    start_s = bench.device.clock.now_s()
    samples = bench.device.latency_samples(work, bench.plan.latency_s)
    append(
        bench,
        WindowRecord(
            number=0,
            kind="latency",
            work=work.plan.work,
            comparison=comparison.id,
            start_s=start_s,
            stop_s=bench.device.clock.now_s(),
            samples_s=[float(f"{s:.6g}") for s in samples.samples_s],
            iterations_per_sample=samples.iterations_per_sample,
            launch=work.launch,
            compile_s=work.compile_s,
            eager_latency_s=work.eager_latency_s,
            graph_latency_s=work.graph_latency_s,
            peak_memory_bytes=work.peak_memory_bytes,
        ),
    )


def _blocks(bench: Bench, comparison: Comparison, prepared: list[Prepared]) -> str:
    """Mirrored pairs of blocks until every work is precise enough, or a limit is met."""
    plan, journal = bench.plan, bench.journal
    mine = [w for w in journal.windows if w.kind == "window" and w.comparison == comparison.id]
    block = max((w.block for w in mine), default=-1) + 1
    block += block % 2
    active = {p.plan.work: p for p in prepared}
    baseline = comparison.works[0].work
    while active:
        counts = {work: len(bench.windows_of(comparison, work)) for work in active}
        imprecise = [work for work in active if not _precise(bench, comparison, work)]
        wanting = [w for w in active if counts[w] < plan.windows or (w in imprecise and counts[w] < plan.max_windows)]
        if not wanting:
            return "windows" if imprecise else "converged"
        if bench.deadline_s is not None and bench.device.clock.now_s() > bench.deadline_s:
            return "budget"
        chosen = [w for w in active if w == baseline or w in wanting]
        planned = sum(max(plan.windows - counts[work], 0) for work in active)
        bench.expects(max(planned, 2 * len(chosen)))
        order = [chosen[i] for i in bench.random.permutation(len(chosen))]
        for number, works in ((block, order), (block + 1, order[::-1])):
            for work in works:
                if work in active and not measured_window(bench, comparison, active[work], number):
                    del active[work]
        block += 2
    return "failed"


def worst_halfwidth(bench: Bench, comparison: Comparison) -> float:
    """The widest relative interval of a comparison's works that have any window; 0 where none has."""
    return max((_halfwidth(bench, comparison, work.work) for work in comparison.works), default=0.0)


def _precise(bench: Bench, comparison: Comparison, work: str) -> bool:
    """Whether the interval of a work is narrow enough."""
    return bool(bench.windows_of(comparison, work)) and _halfwidth(bench, comparison, work) <= bench.plan.precision


def _halfwidth(bench: Bench, comparison: Comparison, work: str) -> float:
    """Relative half-width of the interval of a work's joules (of its latency, where there are none)."""
    windows = bench.windows_of(comparison, work)
    values = [w.energy_per_iteration_j for w in windows if w.energy_per_iteration_j is not None]
    values = values or [w.loop_latency_s for w in windows]
    return log_interval(values).relative_halfwidth if values else 0.0
