"""What is the answer of a comparison made of? Changes of latency, energy and power, row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from energybench.analysis.matching import Difference, Gain, Unmatched
from energybench.analysis.ratios import Ratio
from energybench.analysis.statistics import Interval, verdict
from energybench.analysis.welch import widened

Quantity = Literal["latency", "energy", "power"]
QUANTITIES: tuple[Quantity, ...] = ("latency", "energy", "power")
FASTER = {"less": "faster", "more": "slower"}


@dataclass(frozen=True)
class Change:
    """One quantity of the judged side over the other's.

    Attributes:
        interval: the ratio with its 95 % interval, random part only; (0, inf) from a single replicate.
        low: lower end with everything that does not cancel, the sensors' gain too.
        high: upper end of the same.
        smallest: smallest relative change this would have shown with 80 % power; NaN where unknown.
        verdict: ``faster``, ``slower`` (latency), ``less``, ``more``, ``same`` (within the margin), ``cannot tell``.
    """

    interval: Interval
    low: float
    high: float
    smallest: float
    verdict: str

    @property
    def ratio(self) -> float:
        """The estimate."""
        return self.interval.estimate

    @property
    def has_interval(self) -> bool:
        """Whether there are replicates enough to judge by."""
        return self.low > 0 and math.isfinite(self.high)


@dataclass(frozen=True)
class ComparedRow:
    """One case, or one total, of one side against the other.

    Attributes:
        scope: ``case`` or ``total``.
        name: the id, unique among the rows of its comparison.
        place: the point of the axes, the same for all variants there.
        variant: the variant that is judged.
        against: the variant it is judged against; empty where it is itself, in another run.
        macs_ratio: MACs over the other's; NaN without MACs.
        latency: loop latency.
        energy: joules per inference; None where one side has none.
        power: mean power while looping; energy over latency. None without joules, and between variants.
        note: what a reader must know of this row.
        matched: whether the suite declares the two variants a pair at matched MACs.
    """

    scope: Literal["case", "total"]
    name: str
    place: str
    variant: str
    against: str
    macs_ratio: float
    latency: Change | None
    energy: Change | None
    power: Change | None
    note: str = ""
    matched: bool = False

    def change(self, quantity: Quantity) -> Change | None:
        """The change of one quantity."""
        return {"latency": self.latency, "energy": self.energy, "power": self.power}[quantity]

    @property
    def log_split(self) -> tuple[float, float] | None:
        """ln(energy ratio) as (what time did, what power did): ln(latency ratio) and ln(power ratio), which add up."""
        if self.latency is None or self.power is None:
            return None
        return math.log(self.latency.ratio), math.log(self.power.ratio)


@dataclass(frozen=True)
class Comparison:
    """Everything two sides have to say to each other.

    Attributes:
        kind: ``runs``: the second over the first; ``variants``: of one run, each over its partner.
        runs: names of the run folders.
        devices: what each run was measured on.
        margin: ratios within it are the same.
        rows: cases, then totals.
        unmatched: what is not compared, and why.
        differences: what else is not the same in the two runs.
        gain: what the sensors' gains do; None without joules.
        caveats: what must be known before quoting.
    """

    kind: Literal["runs", "variants"]
    runs: tuple[str, ...]
    devices: tuple[str, ...]
    margin: float
    rows: tuple[ComparedRow, ...]
    unmatched: tuple[Unmatched, ...] = ()
    differences: tuple[Difference, ...] = ()
    gain: Gain | None = None
    caveats: tuple[str, ...] = ()


def change_of(ratio: Ratio, quantity: Quantity, margin: float, log_gain: float = 0.0) -> Change:
    """A ratio judged.

    Args:
        ratio: with its random interval.
        quantity: what it is a ratio of.
        margin: the same within it.
        log_gain: half-width of the logarithm that does not cancel (`Gain.log_halfwidth`).
    """
    wide = widened(ratio.interval, log_gain)
    said = verdict(wide, margin)
    return Change(
        interval=ratio.interval,
        low=wide.low,
        high=wide.high,
        smallest=(1 + ratio.smallest_difference) * math.exp(log_gain) - 1,
        verdict=FASTER.get(said, said) if quantity == "latency" else said,
    )
