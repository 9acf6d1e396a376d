"""How is a quantity written for people? One prefix a column, two digits of uncertainty, a ratio with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
NONE = "–"


@dataclass(frozen=True)
class Scale:
    """A unit with its prefix: multiply base units by ``factor`` to get ``unit``."""

    factor: float
    unit: str


def scale_for(values: Iterable[float], unit: str) -> Scale:
    """The prefix under which the median of ``values`` has one to three digits before the point."""
    finite = [abs(v) for v in values if _known(v) and v != 0]
    middle = float(np.median(finite)) if finite else 1.0
    exponent = min(15, max(-15, 3 * math.floor(math.log10(middle) / 3)))
    return Scale(10.0**-exponent, PREFIXES[exponent] + unit)


def digits(value: float, significant: int = 3) -> str:
    """``value`` with ``significant`` digits and no exponent unless it is far from 1; a dash for a missing one."""
    if not _known(value):
        return NONE
    if value == 0:
        return "0"
    places = significant - 1 - math.floor(math.log10(abs(value)))
    if not -6 < places < 9:
        return f"{value:.{significant - 1}e}"
    rounded = round(value, places)
    places = significant - 1 - math.floor(math.log10(abs(rounded)))  # 9.99 has become 10.0: one digit fewer after it
    return f"{rounded:.{max(0, places)}f}"


def quantity(value: float, unit: str, significant: int = 3) -> str:
    """``value`` with a prefix of its own: ``412 µs``."""
    if not _known(value):
        return NONE
    scale = scale_for([value], unit)
    return f"{digits(value * scale.factor, significant)} {scale.unit}"


def with_interval(value: float, low: float, high: float) -> str:
    """``value ± half-width`` to two digits of the half-width; the value alone where there is no interval.

    A wide interval of logarithms is lopsided, so beyond half of the value its two ends are written instead.
    """
    if not _known(value):
        return NONE
    half = (high - low) / 2
    if not _known(half) or not _known(low) or half <= 0:
        return digits(value, 4)
    if half > 0.5 * abs(value):
        return f"{digits(value, 2)} [{digits(low, 2)}, {digits(high, 2)}]"
    places = 1 - math.floor(math.log10(half))
    if not -6 < places < 9:
        return f"{digits(value, 4)} ± {digits(half, 2)}"
    shown = max(0, places)
    return f"{round(value, places):.{shown}f} ± {round(half, places):.{shown}f}"


def estimate(value: float, low: float, high: float, unit: str) -> str:
    """``5.082 ± 0.005 mJ (95 %)``: a quantity with a prefix of its own, and its interval where there is one."""
    if not _known(value):
        return NONE
    scale = scale_for([value], unit)
    told = with_interval(*(end * scale.factor for end in (value, low, high)))
    return f"{told} {scale.unit}{' (95 %)' if has_interval(low, high) else ''}"


def ratio(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """``0.904 [0.899, 0.909]``; the interval only where there is one. As many places as the interval deserves."""
    if not _known(value):
        return NONE
    places = 3
    if has_interval(low, high):
        half = (high - low) / 2
        if half > 0.5 * value:
            return f"{digits(value, 2)} [{digits(low, 2)}, {digits(high, 2)}]"
        places = min(5, max(2, -math.floor(math.log10(half)))) if half > 0 else 3
        return f"{value:.{places}f} [{low:.{places}f}, {high:.{places}f}]"
    return f"{value:.{places}f}"


def has_interval(low: float, high: float) -> bool:
    """Whether ``low`` and ``high`` bound anything: too few windows give (0, inf), none NaN."""
    return _known(low) and _known(high) and low <= high and low > 0


def change(value: float) -> str:
    """A ratio as a change in words: ``9.6 % less``, ``3.1 % more``, ``as much``; a factor once it exceeds 2."""
    if not _known(value) or value <= 0:
        return NONE
    if value >= 2:
        return f"{digits(value, 2)} times as much"
    percent = 100 * (value - 1)
    if abs(percent) < 0.05:
        return "as much"
    return f"{digits(abs(percent), 2)} % {'less' if percent < 0 else 'more'}"


def signed_percent(value: float) -> str:
    """A ratio as a signed change: ``−9.6 %``; a factor from 2 upwards: ``×16``."""
    if not _known(value):
        return NONE
    if value >= 2:
        return f"×{digits(value, 2)}"
    percent = 100 * (value - 1)
    size = digits(abs(percent), 2)
    return "0 %" if abs(percent) < 0.005 else f"{'−' if percent < 0 else '+'}{size} %"


def change_between(low: float, high: float) -> str:
    """An interval of a ratio as changes: ``9.1 to 10.1 % less``, or ``0.3 % less to 0.8 % more``."""
    if not has_interval(low, high):
        return "none: too few windows"
    if low >= 2:
        return f"{digits(low, 2)} to {digits(high, 2)} times as much"
    if high < 1 or low > 1:
        near, far = sorted((abs(100 * (low - 1)), abs(100 * (high - 1))))
        return f"{digits(near, 2)} to {digits(far, 2)} % {'less' if high < 1 else 'more'}"
    return f"{digits(100 * (1 - low), 2)} % less to {digits(100 * (high - 1), 2)} % more"


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
