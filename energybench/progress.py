"""How far are we? A bar on a terminal, plain lines elsewhere, JSON for machines; always on stderr, results on stdout.

All are a `energybench.runner.bench.Progress`.
"""

from __future__ import annotations

import json
import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from energybench.report.quantities import quantity

PLAIN_EVERY_S = 10.0
EVENTS_SCHEMA = 1
"""Version of the JSON events; docs/events.md describes them."""


class Quiet:
    """Says nothing: the record keeps the notes."""

    def note(self, text: str) -> None:
        """Nothing."""

    def doing(self, what: str) -> None:
        """Nothing."""

    def expects(self, done: int, to_come: int) -> None:
        """Nothing."""

    def window_done(self, power_w: float | None, temperature_c: float | None, energy_j: float | None) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Tally:
    """What all that show something know: windows done and to come, the board, joules and time so far."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.what = ""
        self.power_w: float | None = None
        self.temperature_c: float | None = None
        self.energy_j = 0.0
        self._done_before = 0
        self._begun_s = time.monotonic()
        self._begun = False

    def expects(self, done: int, to_come: int) -> None:
        """Windows there are, and windows still to come as far as is known now."""
        if not self._begun:
            self._begun, self._begun_s, self._done_before = True, time.monotonic(), done
        self.done, self.total = done, done + to_come

    def window_done(self, power_w: float | None, temperature_c: float | None, energy_j: float | None) -> None:
        """One window more."""
        self.done += 1
        self.total = max(self.total, self.done)
        self.power_w, self.temperature_c = power_w, temperature_c
        self.energy_j += energy_j or 0.0

    @property
    def elapsed_s(self) -> float:
        """Since the first window was expected."""
        return time.monotonic() - self._begun_s

    @property
    def left_s(self) -> float | None:
        """Time left at the pace of this session; None before its first window."""
        here = self.done - self._done_before
        return self.elapsed_s / here * (self.total - self.done) if here > 0 else None

    def words(self) -> str:
        """Watts, temperature, joules so far, time left: what is known of them."""
        known = [
            "" if self.power_w is None else f"{self.power_w:.0f} W",
            "" if self.temperature_c is None else f"{self.temperature_c:.0f} °C",
            f"{quantity(self.energy_j, 'J')} so far" if self.energy_j else "",
            "" if self.left_s is None else f"{_duration(self.left_s)} left",
        ]
        return ", ".join(filter(None, known))


class PlainLines:
    """One line now and then: for logs and CI."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally()
        self._next_s = time.monotonic() + PLAIN_EVERY_S

    def note(self, text: str) -> None:
        """Print a note."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def doing(self, what: str) -> None:
        """Remember it for the next line."""
        self._tally.what = what

    def expects(self, done: int, to_come: int) -> None:
        """Remember it for the next line."""
        self._tally.expects(done, to_come)

    def window_done(self, power_w: float | None, temperature_c: float | None, energy_j: float | None) -> None:
        """Print a line if the last one is long ago."""
        tally = self._tally
        tally.window_done(power_w, temperature_c, energy_j)
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PLAIN_EVERY_S
            self.note(f"[{tally.done}/{tally.total}] {tally.what}: {tally.words()}")

    def close(self) -> None:
        """Nothing to take away."""


class Bar:
    """A live bar; redrawn at most twice a second, so that it costs nothing."""

    def __init__(self, console: Console, title: str) -> None:
        self._tally = Tally()
        self._progress = Progress(
            TextColumn("{task.fields[title]}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn(
                "{task.fields[words]} {task.fields[what]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            console=console,
            refresh_per_second=2,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, title=title, words="", what="")
        self._progress.start()

    def note(self, text: str) -> None:
        """Print above the bar."""
        self._progress.console.print(escape(text), highlight=False)

    def doing(self, what: str) -> None:
        """Show what is measured."""
        self._tally.what = what
        self._show()

    def expects(self, done: int, to_come: int) -> None:
        """Lengthen or shorten the bar."""
        self._tally.expects(done, to_come)
        self._show()

    def window_done(self, power_w: float | None, temperature_c: float | None, energy_j: float | None) -> None:
        """Move on."""
        self._tally.window_done(power_w, temperature_c, energy_j)
        self._show()

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()

    def _show(self) -> None:
        tally = self._tally
        total = tally.total or None
        self._progress.update(self._task, completed=tally.done, total=total, words=tally.words(), what=tally.what[:60])


class JsonLines:
    """One JSON object a line, for machines; docs/events.md says what is in them."""

    def __init__(self, console: Console, title: str) -> None:
        self._file = console.file
        self._tally = Tally()
        self.event("begin", schema=EVENTS_SCHEMA, suite=title)

    def note(self, text: str) -> None:
        """Something a user should know."""
        self.event("note", text=text)

    def doing(self, what: str) -> None:
        """What is measured now."""
        self._tally.what = what
        self.event("doing", what=what)

    def expects(self, done: int, to_come: int) -> None:
        """How many windows there are and will be."""
        before = (self._tally.done, self._tally.total)
        self._tally.expects(done, to_come)
        if (self._tally.done, self._tally.total) != before:
            self.event("expects", done=done, total=done + to_come)

    def window_done(self, power_w: float | None, temperature_c: float | None, energy_j: float | None) -> None:
        """A window, and the sums so far."""
        tally = self._tally
        tally.window_done(power_w, temperature_c, energy_j)
        self.event(
            "window",
            done=tally.done,
            total=tally.total,
            what=tally.what,
            power_w=power_w,
            temperature_c=temperature_c,
            energy_so_far_j=tally.energy_j,
            elapsed_s=round(tally.elapsed_s, 3),
            left_s=None if tally.left_s is None else round(tally.left_s, 3),
        )

    def close(self) -> None:
        """Nothing: how it ended is told by the command."""

    def event(self, name: str, **fields: Any) -> None:
        """Write one event."""
        self._file.write(json.dumps({"event": name, **fields}) + "\n")
        self._file.flush()


Reporter = Quiet | PlainLines | Bar | JsonLines


def reporter(console: Console, title: str, *, quiet: bool = False, events: bool = False) -> Reporter:
    """Who tells how far we are: what was asked for, else what fits where stderr goes."""
    if events:
        return JsonLines(console, title)
    if quiet:
        return Quiet()
    return Bar(console, title) if console.is_terminal else PlainLines(console)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
