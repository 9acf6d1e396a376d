"""Does this set-up find differences where there are none? A suite's baseline measured against itself (A/A)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from energybench.analysis.summary import Summary
from energybench.workload import WorkPlan

AGAIN = " (again)"
NOMINAL = 0.05


@dataclass(frozen=True)
class SelfTest:
    """What an A/A run found.

    Attributes:
        comparisons: pairs of a baseline with itself that have an interval.
        false_alarms: those whose 95 % interval excludes 1.
        largest_difference: largest |ratio - 1| seen.
        smallest_visible: median over the pairs of the smallest difference shown with 80 % power.
        quantity: ``energy`` or ``latency``.
    """

    comparisons: int
    false_alarms: int
    largest_difference: float
    smallest_visible: float
    quantity: str


def doubled(plans: Sequence[WorkPlan]) -> tuple[WorkPlan, ...]:
    """The baseline's plans, each twice: as it is, and as a variant of its own whose work is not shared with it."""
    found: list[WorkPlan] = []
    for plan in plans:
        case = plan.case
        if case.variant != case.baseline:
            continue
        variant = case.variant + AGAIN
        twin = replace(case, id=case.id.replace(case.variant, variant, 1), variant=variant, pair=case.variant)
        found += [replace(plan, case=replace(case, pair=None)), replace(plan, case=twin, work=plan.work + "-again")]
    return tuple(found)


def self_test(summary: Summary) -> SelfTest | None:
    """What the pairs of an A/A run say; None where none has an interval."""
    quantity = "energy" if summary.has_energy else "latency"
    ratio, low, high = (f"{quantity}_ratio{end}" for end in ("", "_low", "_high"))
    pairs = summary.pairs[(summary.pairs["scope"] == "case") & (summary.pairs["kind"] == "matched")]
    pairs = pairs.dropna(subset=[low, high])
    if pairs.empty:
        return None
    alarms = (pairs[low] > 1) | (pairs[high] < 1)
    return SelfTest(
        comparisons=len(pairs),
        false_alarms=int(alarms.sum()),
        largest_difference=float((pairs[ratio] - 1).abs().max()),
        smallest_visible=float(pairs["smallest_difference"].median()),
        quantity=quantity,
    )


def self_test_lines(found: SelfTest | None) -> Iterator[str]:
    """The finding in words."""
    if found is None:
        yield "A/A: no pair has an interval yet; measure more windows"
        return
    share = found.false_alarms / found.comparisons
    yield (
        f"A/A: the baseline against itself in {found.comparisons} comparisons: {found.false_alarms} of their 95 % "
        f"{found.quantity} intervals exclude 1 ({share:.1%}; {NOMINAL:.0%} are expected by chance)"
    )
    yield f"largest difference seen {found.largest_difference:.2%}"
    yield f"smallest difference this set-up shows (80 % power, median) {found.smallest_visible:.2%}"
