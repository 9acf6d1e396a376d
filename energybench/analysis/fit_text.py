"""How is a fit told? Plain lines: every constant with its interval or the reason why it has none, then the errors."""

from __future__ import annotations

from collections.abc import Iterator

from energybench.analysis.fit import Fit
from energybench.analysis.fit_energy import UnitEnergy
from energybench.analysis.fit_latency import FittedConstant


def fit_lines(fit: Fit) -> Iterator[str]:
    """The fit as plain lines: constants with intervals or reasons, then errors of work left out."""
    yield f"fit of {fit.run_name} on {fit.base.title}"
    yield ""
    if fit.energy is None:
        yield "no joules in this run: unit energies stay as in the sheet"
    else:
        yield f"unit energies from {fit.energy.works} pieces of work, left over {fit.energy.relative_error:.1%}"
        yield from (f"  {line}" for line in map(_energy_line, fit.energy.constants))
    yield ""
    yield f"latencies, left over {fit.latency.relative_error:.1%}, overlap p = {fit.efficiency.overlap:g}" + (
        f"; {fit.capped} pieces of work at the power limit left out" if fit.capped else ""
    )
    yield from (f"  {line}" for line in map(_latency_line, fit.latency.constants))
    yield ""
    yield "mean relative errors of work left out"
    yield f"  {'family':22} {'works':>5} {'latency':>8} {'joules at that latency':>23} {'joules':>8}"
    for e in fit.errors:
        cells = (_percent(e.latency), _percent(e.energy_given_latency), _percent(e.energy))
        alone = f"   {e.unjudged} not judged: no other work has such a kernel" if e.unjudged else ""
        yield f"  {e.family:22} {e.works:5} {cells[0]:>8} {cells[1]:>23} {cells[2]:>8}{alone}"


def _energy_line(constant: UnitEnergy) -> str:
    if constant.value is None:
        return f"{constant.name:40} not identifiable: {constant.reason}"
    return f"{constant.name:40} {constant.value:11.4g}   95 %: {constant.low:.4g} to {constant.high:.4g}"


def _latency_line(constant: FittedConstant) -> str:
    if not constant.known:
        return f"{constant.name:40} not identifiable: {constant.reason}"
    return f"{constant.name:40} {constant.value:11.4g}   95 %: {constant.low:.4g} to {constant.high:.4g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
