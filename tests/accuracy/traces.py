"""What do our estimators say of real boards? NVML readings beside an external meter, recorded by others.

Data: Yang, Adámek, Armour (SC24, arXiv 2312.02741), MIT licence; see SOURCE.json beside the files. They lie in
``../shared/data`` of the checkout or where ``ENERGYBENCH_DATA`` says; nothing of them is shipped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from energybench.analysis.joules import window_joules
from energybench.analysis.power_stretch import power_stretch
from energybench.analysis.wave import Trace
from energybench.journal import WindowRecord
from energybench.readings import POWER, POWER_AVERAGE, POWER_INSTANT, Reading
from energybench.sensor import SensorProfile, Stream

CHECKOUT = Path(__file__).parents[2]
KINDS = {"power_draw_w": POWER, "power_instant_w": POWER_INSTANT, "power_average_w": POWER_AVERAGE}
STAMPS = 200


@dataclass(frozen=True)
class Card:
    """One card as the authors found it: its best stream, and ``shown = gain x true + offset_w`` of just this card."""

    stream: Stream
    gain: float
    offset_w: float


# Gain and offset: sensor_results.csv, driver 535.54.03. Refresh and rise: the same; span of the K40m: ours.
_RTX_3090 = Card(Stream(POWER_INSTANT, 0.1, 0.1), 0.948275, 1.4006)
_RTX_A5000 = Card(Stream(POWER_INSTANT, 0.1, 0.1), 0.908246, 6.3016)
_K40M = Card(Stream(POWER, 0.015, 0.015, rise_s=0.09), 1.024105, 0.8057)
RUNS = {"rtx3090_step": _RTX_3090, "rtx3090_square": _RTX_3090, "rtxa5000_step": _RTX_A5000, "k40m_step": _K40M}


@dataclass(frozen=True)
class Judged:
    """A run, our estimate of it, and the meter's.

    Attributes:
        readings: distinct readings in the interior.
        true_w: the meter's mean power over the same interior.
        shown_w: ours.
        raw_error: relative, the card's gain included.
        error: relative, after the card's gain and offset.
        naive_error: of a trapezoid over all polls between the load's edges, gain included.
        corrected_naive_error: the same after the card's gain and offset.
    """

    readings: int
    true_w: float
    shown_w: float
    raw_error: float
    error: float
    naive_error: float
    corrected_naive_error: float


def folder() -> Path:
    """Where the recordings lie; may not exist."""
    return Path(os.environ.get("ENERGYBENCH_DATA", CHECKOUT.parent / "shared" / "data")) / "gpu_power_meter"


def readings_of(file: str) -> list[Reading]:
    """What NVML showed, as our meters' readings."""
    table = pd.read_csv(folder() / file)
    return [
        Reading(1e-3 * t_ms, KINDS[column], watts)
        for column in table.columns.intersection(list(KINDS))
        for t_ms, watts in zip(table["t_ms"], table[column], strict=True)
    ]


def meter_of(run: str) -> Trace:
    """What the external meter saw, a millisecond each."""
    table = pd.read_csv(folder() / f"{run}__meter_1ms.csv")
    return Trace(1e-3 * table["t_ms"].to_numpy(), table["meter_total_w"].to_numpy())


def load_stop_s(run: str) -> float:
    """The end of the load that began at 0 s: of the first step, or of the last period of a square wave."""
    edges_s = 1e-3 * pd.read_csv(folder() / f"{run}__load_edges.csv")["t_ms"].to_numpy()
    return float(edges_s[1] if run.endswith("step") else edges_s[-1])


def judge(run: str, *, gain: float | None = None, offset_w: float | None = None) -> Judged:
    """Our interior estimate of a run against the meter over the same interior.

    Args:
        run: one of :data:`RUNS`.
        gain: of the card; None for the published one.
        offset_w: of the card; None for the published one.
    """
    card, meter, readings = RUNS[run], meter_of(run), readings_of(f"{run}__nvml.csv")
    gain, offset_w = gain or card.gain, card.offset_w if offset_w is None else offset_w
    stop_s = load_stop_s(run)
    stamps = [(float(time_s), i) for i, time_s in enumerate(np.linspace(0.0, stop_s, STAMPS + 1))]
    window = WindowRecord(number=0, kind="window", start_s=0.0, stop_s=stop_s, stamps=stamps)
    sensor = SensorProfile(run, run, (card.stream,), None, "sensor_results.csv")
    found, stretch = window_joules(window, readings, sensor), power_stretch(window, readings, sensor)
    if stretch is None or found.power_w is None:
        raise ValueError(f"{run}: {found.reason}")
    true_w = _mean_w(meter, stretch.start_s, stretch.stop_s)
    naive_w, load_w = _trapezoid_w(readings, card.stream.kind, stop_s), _mean_w(meter, 0.0, stop_s)
    return Judged(
        readings=stretch.readings,
        true_w=true_w,
        shown_w=found.power_w,
        raw_error=found.power_w / true_w - 1,
        error=(found.power_w - offset_w) / gain / true_w - 1,
        naive_error=naive_w / load_w - 1,
        corrected_naive_error=(naive_w - offset_w) / gain / load_w - 1,
    )


def table() -> pd.DataFrame:
    """Every run, judged: for the page."""
    rows = [{"run": run, **vars(judge(run))} for run in RUNS]
    return pd.DataFrame(rows)


def _mean_w(meter: Trace, start_s: float, stop_s: float) -> float:
    return float(meter.share(np.array([start_s]), np.array([stop_s]))[0])


def _trapezoid_w(readings: list[Reading], kind: str, stop_s: float) -> float:
    points = [(r.time_s, r.value) for r in readings if r.kind == kind and 0.0 <= r.time_s <= stop_s]
    times, watts = np.array(points).T
    return float(np.trapezoid(watts, times) / stop_s)
