"""What is a finding? A level, a topic, what was found, why it matters for the number, and the remedy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "note", "warning", "fault"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "fault")
"""From harmless to ruinous: a warning makes joules doubtful, a fault makes them impossible or another's."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    topic: str
    what: str
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found.

    Attributes:
        title: the device and its meter.
        findings: in the order of the page.
        can_measure_energy: whether joules of this device can be printed at all; `doctor` exits with 3 where not.
    """

    title: str
    findings: tuple[Finding, ...]
    can_measure_energy: bool

    def of(self, topic: str) -> tuple[Finding, ...]:
        """The findings of one topic."""
        return tuple(f for f in self.findings if f.topic == topic)

    @property
    def worst(self) -> Level:
        """The gravest level found."""
        return max((f.level for f in self.findings), key=LEVELS.index, default="ok")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)
