"""How is a comparison measured? Settle, idle, a latency pass, then mirrored random blocks of windows.

Only runs: every raw reading goes into the journal, and what is reported is derived from there. What a window says is
asked solely to decide when it may stop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from energybench.analysis.statistics import log_interval
from energybench.devices import Prepared
from energybench.errors import CaseError
from energybench.journal import WindowRecord
from energybench.runner.bench import Bench, Comparison, append, append_failure
from energybench.runner.budget import Width
from energybench.runner.deadline import fits, latency_pass_s, left_s, loop_s, windows_s
from energybench.runner.settling import idle_takes_s, measure_idle, settle
from energybench.runner.window import failures_as_rows, measured_window
from energybench.workload import WorkPlan, resident_bytes

MEMORY_SHARE = 0.8

REASONS = ("failed", "converged", "windows", "budget")
"""Why measuring a comparison stops; what a budget cut off is gone on with, so that it outranks the others."""

IDLE_SHARE = 0.25
"""The last idle measurement has time of its own where a budget has several times as much."""


def measure_comparison(bench: Bench, comparison: Comparison, *, last: bool = False) -> str:
    """Measure every piece of work of ``comparison`` until it is precise enough; a failing one becomes a row.

    Args:
        bench: device, meter, plan and journal.
        comparison: what to measure.
        last: whether idle is to be measured once more at the end.

    Returns:
        Why it stopped: the last of :data:`REASONS` that holds for any of its sub-blocks.
    """
    bench.measuring = comparison.id
    groups = _that_fit_together(bench, comparison)
    stopped = [REASONS[0]]
    for works in groups:
        if not fits(bench, bench.plan.loop_s):
            stopped.append("budget")
            break
        held = [p for work in works if (p := _prepared(bench, comparison, work)) is not None]
        try:
            if prepared := _fit_to_run(bench, comparison, held):
                final = last and works is groups[-1]
                stopped.append(_blocks(bench, comparison, prepared, final=final))
                if final:
                    measure_idle(bench, comparison, left_s(bench))
        finally:
            for work in held:
                bench.device.release(work)
    return max(stopped, key=REASONS.index)


def _that_fit_together(bench: Bench, comparison: Comparison) -> list[tuple[WorkPlan, ...]]:
    """All works at once where memory allows, else sub-blocks that all contain the baseline's work."""
    free = bench.device.free_memory_bytes()
    works = tuple(work for work in comparison.works if (comparison.id, work.work) not in bench.given_up)
    if not works:
        return []
    needs_bytes = {work.work: resident_bytes(work, bench.device.facts.l2_bytes) for work in works}
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


def _fit_to_run(bench: Bench, comparison: Comparison, held: Sequence[Prepared]) -> list[Prepared]:
    """The works that run: settled on the first that loops, each with its latency pass; the others are rows."""
    working = list(held)
    while working:
        keep_s = windows_s(bench, working) + sum(latency_pass_s(bench, work) for work in working)
        if _runs(bench, comparison, working[0], partial(settle, bench, comparison, keep_s=keep_s)):
            break
        del working[0]
    windows = windows_s(bench, working)
    return [
        work
        for work in working
        # Without the time for it the pass follows the windows, as far as there is time then.
        if latency_pass_s(bench, work) + windows > left_s(bench)
        or _runs(bench, comparison, work, partial(_latency_pass, bench, comparison))
    ]


def _runs(bench: Bench, comparison: Comparison, work: Prepared, run: Callable[[Prepared], None]) -> bool:
    """Whether a piece of work runs without failing; a failure is written down."""
    try:
        with failures_as_rows():
            run(work)
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


def _blocks(bench: Bench, comparison: Comparison, prepared: list[Prepared], *, final: bool) -> str:
    """Mirrored pairs of blocks until every work is precise enough, or a limit is met."""
    active = {work.plan.work: work for work in prepared}
    bench.kept_s = _kept_for_idle_s(bench, prepared) if final else 0.0
    stopped = ""
    block = _next_block(bench, comparison)
    while active and not stopped:
        chosen = _chosen(bench, comparison, active)
        if not chosen:
            stopped = "converged" if all(_precise(bench, comparison, work) for work in active) else "windows"
        elif not _time_for_a_pair(bench, comparison, [active[work] for work in chosen]):
            stopped = "budget"
        else:
            stopped = _pair(bench, comparison, active, chosen, block)
        block += 2
    bench.kept_s = 0.0
    for work in active.values():
        if latency_pass_s(bench, work) <= left_s(bench):
            _runs(bench, comparison, work, partial(_latency_pass, bench, comparison))
    return stopped or "failed"


def _kept_for_idle_s(bench: Bench, works: Sequence[Prepared]) -> float:
    """Time of a budget that the last idle measurement has for itself: none where windows need it more."""
    idle_s = idle_takes_s(bench)
    small = idle_s <= IDLE_SHARE * (bench.plan.budget_s or math.inf)
    return idle_s if small and idle_s + windows_s(bench, works) <= left_s(bench) else 0.0


def _next_block(bench: Bench, comparison: Comparison) -> int:
    """Number of the next block; pairs begin at even ones."""
    mine = [w for w in bench.journal.windows if w.kind == "window" and w.comparison == comparison.id]
    block = max((w.block for w in mine), default=-1) + 1
    return block + block % 2


def _chosen(bench: Bench, comparison: Comparison, active: Mapping[str, Prepared]) -> list[str]:
    """Works that the next pair of blocks holds: those that want more windows, and the baseline; none when all have."""
    plan = bench.plan
    counts = {work: len(bench.windows_of(comparison, work)) for work in active}
    imprecise = [work for work in active if not _precise(bench, comparison, work)]
    wanting = [w for w in active if counts[w] < plan.windows or (w in imprecise and counts[w] < plan.max_windows)]
    chosen = [w for w in active if wanting and (w == comparison.works[0].work or w in wanting)]
    if chosen:
        planned = sum(max(plan.windows - counts[work], 0) for work in active)
        bench.expects(max(planned, 2 * len(chosen)))
    return chosen


def _time_for_a_pair(bench: Bench, comparison: Comparison, works: Sequence[Prepared]) -> bool:
    """Whether two blocks may begin: of what was planned a single window is worth it, of more only the whole pair."""
    fewest = min(len(bench.windows_of(comparison, work.plan.work)) for work in works)
    return fewest < bench.plan.windows or fits(bench, 2 * windows_s(bench, works))


def _pair(bench: Bench, comparison: Comparison, active: dict[str, Prepared], chosen: list[str], block: int) -> str:
    """One block of the chosen works in random order, and its mirror image; ``budget`` where it ends in between."""
    order = [chosen[i] for i in bench.random.permutation(len(chosen))]
    for number, works in ((block, order), (block + 1, order[::-1])):
        for work in works:
            if work not in active:
                continue
            length_s = loop_s(bench, active[work].iteration_s)
            if not fits(bench, length_s):
                _say_what_is_too_long(bench, active[work], length_s)
                return "budget"
            if not measured_window(bench, comparison, active[work], number):
                del active[work]
    return ""


def _say_what_is_too_long(bench: Bench, work: Prepared, length_s: float) -> None:
    budget_s = bench.plan.budget_s or math.inf
    if length_s > budget_s:
        bench.note(
            f"{work.plan.case.id}: a window takes about {length_s:.0f} s and the whole budget is {budget_s:g} s, "
            "so that none began; give a larger one"
        )


def widest(bench: Bench, comparison: Comparison) -> Width:
    """The widest interval of a comparison's works that have any window and can have more; of width 0 where none has."""
    works = [work.work for work in comparison.works if (comparison.id, work.work) not in bench.given_up]
    widths = [Width(_halfwidth(bench, comparison, work), len(bench.windows_of(comparison, work))) for work in works]
    return max(widths, default=Width(0.0, 0))


def _precise(bench: Bench, comparison: Comparison, work: str) -> bool:
    """Whether the interval of a work is narrow enough."""
    return bool(bench.windows_of(comparison, work)) and _halfwidth(bench, comparison, work) <= bench.plan.precision


def _halfwidth(bench: Bench, comparison: Comparison, work: str) -> float:
    """Relative half-width of the interval of a work's joules (of its latency, where there are none)."""
    windows = bench.windows_of(comparison, work)
    values = [w.energy_per_iteration_j for w in windows if w.energy_per_iteration_j is not None]
    each = max((w.edge_halfwidth for w in windows if w.energy_per_iteration_j is not None), default=0.0)
    values = values or [w.loop_latency_s for w in windows]
    return log_interval(values, each=each).relative_halfwidth if values else 0.0
