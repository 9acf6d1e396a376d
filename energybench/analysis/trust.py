"""When must joules that could be computed not be printed? Each refusal with its reason and the remedy."""

from __future__ import annotations

from collections.abc import Collection

from energybench.analysis.guards import (
    FOREIGN_MEMORY_BYTES,
    UNTRUSTED_SHARE,
    foreign_memory_bytes,
    throttle_verdict,
)
from energybench.analysis.measured import COUNTER_FAILS, Measured
from energybench.journal import Run

FOREIGN, ALLOWED, MEMORY = "foreign-process", "foreign-allowed", "foreign-memory"


def foreign_of(run: Run) -> set[str]:
    """What the windows of a run say of others on the board; their share was taken in where the user allowed it."""
    found = {flag for window in run.windows for flag in window.flags if flag.startswith("foreign-")}
    if FOREIGN in found and run.record.options.get("allow_foreign"):
        found = found - {FOREIGN} | {ALLOWED}
    return found | ({MEMORY} if foreign_memory_bytes(run.windows) > FOREIGN_MEMORY_BYTES else set())


def distrust(measured: Measured, run_flags: Collection[str], *, on_cpu: bool) -> str:
    """Why the joules of a piece of work must not be printed; empty where they may be.

    Every table asks this one answer: a case, the totals it is part of and the pairs it is judged in.

    Args:
        measured: its windows.
        run_flags: flags of the whole run, such as ``foreign-process``.
        on_cpu: on the CPU device, drift and staleness flag and do not refuse.
    """
    disagreement = measured.counter_vs_integral()
    if disagreement is not None and abs(disagreement) > COUNTER_FAILS:
        return "energy counter and integrated power differ by over 10 %; see energybench doctor"
    if measured.excluded and not measured.energy_by_block:
        return "the energy counter jumped in every window; see energybench doctor"
    if throttle_verdict(measured.throttle_share()) == "fails":
        return "heat or hardware slowed the clocks for over 1 % of the time; improve cooling, then measure again"
    if not on_cpu and max(measured.stale_share() or 0.0, measured.impossible_share() or 0.0) > UNTRUSTED_SHARE:
        return "over 1 % of the readings were stale or impossible; see energybench doctor"
    if FOREIGN in run_flags:
        return (
            "another process used the GPU; stop it (energybench doctor lists them) and measure again, "
            "or take its share into your joules with --allow-foreign"
        )
    return ""
