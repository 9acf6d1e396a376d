"""What is one reading of a meter? The one type that passes from the meters, through the run folder, to the joules."""

from __future__ import annotations

from typing import NamedTuple

ENERGY = "energy_j"
POWER = "power_w"
POWER_INSTANT = "power_instant_w"
POWER_AVERAGE = "power_average_w"
POWER_KINDS = (POWER_INSTANT, POWER, POWER_AVERAGE)
"""Power kinds, the one to be preferred first."""
WENT_BACK = "went back"
"""What is wrong with a counter's value below the one before it: no reading, and its window is not to be trusted."""


class Reading(NamedTuple):
    """One value of one source.

    Attributes:
        time_s: when it was read, on the run's clock: the middle of the call.
        kind: ``energy_j`` (a counter), ``power_w`` (plain), ``power_instant_w`` (fast) or ``power_average_w``.
        value: joules or watts.
        native_time_s: the source's own time stamp, where it has one.
        call_s: how long the call took.
    """

    time_s: float
    kind: str
    value: float
    native_time_s: float | None = None
    call_s: float = 0.0
