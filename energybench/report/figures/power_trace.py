"""What did the meter read while one case ran? The raw readings of its windows and of their neighbours, as one frame."""

from __future__ import annotations

from typing import Any

import pandas as pd

from energybench.analysis.measured import sensor_of, sound_readings
from energybench.analysis.power_stretch import power_stretch
from energybench.analysis.stretches import counter_stretch
from energybench.analysis.summary import Summary
from energybench.journal import CaseRecord, Run, WindowRecord
from energybench.readings import ENERGY, Reading

BLOCKS_SHOWN = 4
COUNTER = "counter"
COLUMNS = ["time_s", "power_w", "kind", "own", "in_window", "window"]


def most_telling_case(summary: Summary) -> CaseRecord | None:
    """The case whose power is shown: a matched variant where there is one, with joules, of the last comparison.

    One with an interval before one that was interrupted after a window or two.
    """
    known = summary.cases[summary.cases["energy_per_inference_j"].notna()]
    sure = known[known["energy_per_inference_low_j"].notna()]
    measured = set((sure if len(sure) else known)["case"])
    candidates = [case for case in summary.run.record.cases if case.id in measured]
    paired = [case for case in candidates if case.pair]
    found = paired or candidates
    return found[-1] if found else None


def power_trace(run: Run, case_id: str) -> pd.DataFrame:
    """Power readings around one case, over the first blocks of its comparison.

    Args:
        run: a loaded run.
        case_id: the case whose windows are ``own``.

    Returns:
        ``time_s`` on the run's clock, ``power_w``, ``kind`` (of the reading; ``counter`` for the mean power between
        two of the counter's ticks, one row at each end), ``own`` (the case itself, not a neighbour), ``in_window``
        (inside what its joules are made of), ``window`` (number in windows.jsonl, -1 outside).

    Windows whose readings are damaged on the disk have none.
    """
    case = next(c for c in run.record.cases if c.id == case_id)
    comparison = run.record.measured_as.get(case.comparison, case.comparison)
    windows = [w for w in run.windows if w.kind == "window" and w.comparison == comparison]
    session = windows[0].session if windows else 0
    shown = [w for w in windows if w.block < BLOCKS_SHOWN and w.session == session]
    rows = [row for w in shown for row in _window_rows(run, w, own=w.work == case.work)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _window_rows(run: Run, window: WindowRecord, *, own: bool) -> list[dict[str, Any]]:
    window, readings = sound_readings(run, window)
    sensor = sensor_of(run)
    counter = counter_stretch(window, readings, sensor) if sensor else None
    stretch = counter or (power_stretch(window, readings, sensor) if sensor else None)
    rows = []
    for kind in dict.fromkeys(r.kind for r in readings if r.kind != ENERGY):
        for r in _distinct([r for r in readings if r.kind == kind]):
            inside = own and stretch is not None and stretch.start_s <= r.time_s <= stretch.stop_s
            rows.append(_row(r.time_s, r.value, kind, window, own=own, inside=inside))
    if own and counter is not None:
        for time_s in (counter.start_s, counter.stop_s):
            rows.append(_row(time_s, counter.power_w, COUNTER, window, own=True, inside=True))
    return rows


def _row(time_s: float, power_w: float, kind: str, window: WindowRecord, *, own: bool, inside: bool) -> dict[str, Any]:
    number = window.number if inside else -1
    return {"time_s": time_s, "power_w": power_w, "kind": kind, "own": own, "in_window": inside, "window": number}


def _distinct(readings: list[Reading]) -> list[Reading]:
    """Readings at which the shown value changed: polling faster than the sensor refreshes adds nothing."""
    return [
        r for before, r in zip([None, *readings], readings, strict=False) if before is None or r.value != before.value
    ]
