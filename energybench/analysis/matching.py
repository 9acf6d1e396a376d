"""May two runs be compared, which of their cases are the same job, and what else is not the same between them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from energybench.analysis.case_rows import GAIN_UNCERTAINTY
from energybench.analysis.summary import Summary
from energybench.analysis.welch import gain_halfwidth
from energybench.errors import RunFolderError
from energybench.journal import CaseRecord, Run

JOB = ("inputs", "batch", "dtype", "mode", "cache")
"""What a case is asked to do. Cases of one name that differ in these are two jobs; how a job is done may differ."""

MOVED = {"temperature_c": 2.0, "sm_clock_hz": 0.005}
"""Medians over a run that are told when they moved by more: degrees, and a relative share of the clock."""

SILENT = {"uuid", "pci_bus_id", "seed", "short", "name", "nvml", "meter", "rule"}
"""Facts that differ without saying more than others, or that say what another fact says."""


@dataclass(frozen=True)
class Unmatched:
    """A case or total that is not compared.

    Attributes:
        name: its id.
        because: why, in words.
        lost: the first run measured it and the second did not.
    """

    name: str
    because: str
    lost: bool


@dataclass(frozen=True)
class Difference:
    """Something of the two runs that is not the same, besides their numbers."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Gain:
    """What the gains of the sensors do to a ratio of joules or watts.

    Attributes:
        log_halfwidth: 95 % half-width of the logarithm of what they do; 0 where they cancel.
        words: the same as a sentence.
    """

    log_halfwidth: float
    words: str


def refuse_unlike(a: Summary, b: Summary) -> None:
    """Refuse two runs whose numbers must not be set against each other.

    Raises:
        RunFolderError: one is simulated (or modelled) and the other is not, or both are one run.
    """
    where = f"{a.run.folder} and {b.run.folder}"
    kinds = _kind(a), _kind(b)
    if kinds[0] != kinds[1]:
        raise RunFolderError(
            f"one run is {kinds[0]}, the other {kinds[1]}",
            where=where,
            why="the difference would say how good a model is, not which run needs less",
            remedy="compare runs of one kind; `energybench compare RUN --model` judges predictions",
        )
    if a.run.folder.resolve() == b.run.folder.resolve():
        raise RunFolderError("this is one run", where=where, remedy="give two runs, or one alone: its variants")
    if not a.run.simulated and same_windows(a.run, b.run):
        raise RunFolderError(
            "one run is a copy of the other",
            where=where,
            why="a run always agrees with itself, so nothing would be tested",
            remedy="measure again",
        )


def same_windows(a: Run, b: Run) -> bool:
    """Whether both hold the very same windows: a copy, or a simulation repeated with its seed."""
    return bool(a.windows) and [w.stamps for w in a.windows] == [w.stamps for w in b.windows]


def matched_cases(a: Summary, b: Summary) -> tuple[list[tuple[CaseRecord, CaseRecord]], list[Unmatched]]:
    """Cases that both runs measured, by id, in the first run's order; and every other case with the reason.

    Raises:
        RunFolderError: no case of one run is a case of the other, or none was measured in both.
    """
    ours, theirs = ({c.id: c for c in s.run.record.cases} for s in (a, b))
    if not ours.keys() & theirs.keys():
        raise RunFolderError(
            f"have no case in common: {len(ours)} cases of {a.run.record.name}, {len(theirs)} of {b.run.record.name}",
            where=f"{a.run.folder} and {b.run.folder}",
            why="cases are matched by their id, and only the same job can be faster or slower",
            remedy="run the same suite twice (with the same --only and --set)",
        )
    status_a, status_b = _statuses(a), _statuses(b)
    matched, unmatched = [], []
    for name in dict.fromkeys([*status_a, *status_b]):
        why_a, why_b = (_absence(name, s) for s in (status_a, status_b))
        if status_a.get(name, ("skipped",))[0] == status_b.get(name, ("skipped",))[0] == "skipped":
            continue
        changed = _changed(ours[name], theirs[name]) if name in ours and name in theirs else ""
        because = "; ".join(part for part in (_said(why_a, "A"), _said(why_b, "B"), changed) if part)
        if because:
            unmatched.append(Unmatched(name, because, lost=not why_a))
        else:
            matched.append((ours[name], theirs[name]))
    if not matched:
        raise RunFolderError(
            f"nothing can be compared: {unmatched[0].name}: {unmatched[0].because}, and so on",
            where=f"{a.run.folder} and {b.run.folder}",
            remedy="finish both runs, of one suite",
        )
    return matched, unmatched


def gain_of(a: Summary, b: Summary, *, same_board: bool | None = None) -> Gain:
    """What the sensors' gains do to a ratio of the two runs' joules.

    Args:
        a: first run.
        b: second run.
        same_board: overrides what the boards' UUIDs say, for devices that have none.
    """
    halves = [_gain_uncertainty(s) for s in (a, b)]
    if not any(halves):
        return Gain(0.0, "simulated sensors have no gain error")
    uuids = [s.run.record.device.get("uuid") for s in (a, b)]
    if same_board is None:
        same_board = uuids[0] == uuids[1] if all(uuids) else None
    estimators = [_estimator(s) for s in (a, b)]
    if same_board and estimators[0] == estimators[1]:
        return Gain(0.0, "one board and one sensor: its gain cancels in every ratio")
    if same_board:
        cause = f"one board read in two ways ({estimators[0]}, {estimators[1]})"
    else:
        cause = "two boards" if same_board is False else "the boards cannot be told apart (no UUID)"
    width = gain_halfwidth(halves[0], halves[1])
    sizes = " and ".join(f"±{100 * half:.2g} %" for half in dict.fromkeys(halves))
    each = "each sensor's gain is" if len(set(halves)) == 1 else "the sensors' gains are"
    return Gain(
        width,
        f"{cause}: {each} known to {sizes} only. That moves all joules and watts of this comparison together, by up "
        f"to {100 * width:.2g} %; it is in the verdicts on them and not in the ±",
    )


def scopes(a: Summary, b: Summary) -> tuple[str, str]:
    """What the two meters cover: ``board``, ``module``, or the names of CPU domains."""
    found = [str(s.run.record.meter.get("scope") or "") for s in (a, b)]
    return found[0], found[1]


def differences(a: Summary, b: Summary) -> tuple[Difference, ...]:
    """What else differs: device, driver, limits, versions, options, plan, and the state the boards were in."""
    facts = [dict(_facts(s)) for s in (a, b)]
    names = [name for name in dict.fromkeys([*facts[0], *facts[1]]) if facts[0].get(name) != facts[1].get(name)]
    found = [Difference(name, *(_shown(f.get(name)) for f in facts)) for name in names]
    for column, limit in MOVED.items():
        was, now = (float(s.cases[column].median()) for s in (a, b))
        scale = 1.0 if column == "temperature_c" else was
        if abs(now - was) > limit * scale:
            found.append(Difference(f"{column} (median)", f"{was:.4g}", f"{now:.4g}"))
    return tuple(found)


def _kind(summary: Summary) -> Literal["measured", "simulated", "modelled"]:
    if summary.run.simulated:
        return "simulated"
    known = set(summary.cases["provenance"].dropna())
    return "modelled" if known == {"modelled"} else "measured"


def _statuses(summary: Summary) -> dict[str, tuple[str, str]]:
    """Status and reason of every case, by id."""
    rows = summary.cases[["case", "status", "reason"]].fillna("")
    return {str(r.case): (str(r.status), str(r.reason)) for r in rows.itertuples()}


def _absence(name: str, statuses: Mapping[str, tuple[str, str]]) -> str:
    """Why a run has no measurement of a case; empty where it has one."""
    if name not in statuses:
        return "not in"
    status, reason = statuses[name]
    if status == "ok":
        return ""
    return f"{status} in" if not reason else f"{status} ({reason}) in"


def _said(absence: str, run: str) -> str:
    return f"{absence} {run}" if absence else ""


def _changed(a: CaseRecord, b: CaseRecord) -> str:
    """How two cases of one id are different jobs; empty where they are the same."""
    differing = [name for name in JOB if getattr(a, name) != getattr(b, name)]
    return f"another job under the same id: its {', '.join(differing)} differ" if differing else ""


def _gain_uncertainty(summary: Summary) -> float:
    known = summary.cases["energy_gain_uncertainty"].dropna()
    if len(known):
        return float(known.max())
    return 0.0 if summary.run.simulated else GAIN_UNCERTAINTY


def _estimator(summary: Summary) -> str:
    """How most windows got their joules."""
    known = summary.windows["estimator"].dropna()
    known = known[known != "none"]
    return str(known.mode().iloc[0]) if len(known) else "none"


def _facts(summary: Summary) -> Iterator[tuple[str, Any]]:
    record = summary.run.record
    yield "suite", record.name
    parts: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("device", record.device),
        ("meter", record.meter),
        ("version of", record.versions),
        ("option", record.options),
        ("plan", {k: record.plan.get(k) for k in ("precision", "window_s", "windows")}),
    )
    for part, values in parts:
        for name, value in values.items():
            if name not in SILENT and not isinstance(value, dict):
                yield f"{part} {name}", value


def _shown(value: object) -> str:
    if value is None or value in ("", []):
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
