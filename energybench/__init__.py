"""Joules and latency of GPU layers, with intervals one can believe.

Three functions serve notebooks and tests; each is imported when it is first used, so that the command line starts at
once: `load` reads a run folder, `summarize` derives every table of it, `measure` measures modules at hand.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energybench.analysis.summary import Summary, summarize
    from energybench.errors import EnergyBenchError
    from energybench.journal import Run, load
    from energybench.measurement import Measurement, measure

__all__ = ["EnergyBenchError", "Measurement", "Run", "Summary", "load", "measure", "summarize"]

__version__ = "0.1.0"

_HOMES = {
    "EnergyBenchError": "errors",
    "Measurement": "measurement",
    "Run": "journal",
    "Summary": "analysis.summary",
    "load": "journal",
    "measure": "measurement",
    "summarize": "analysis.summary",
}
"""Where each public name lives."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
