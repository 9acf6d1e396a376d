"""How far are we? A bar on a terminal, plain lines elsewhere, always on stderr so that results can be piped.

Both are a `energybench.bench.Progress`.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PLAIN_EVERY_S = 10.0


class Silent:
    """Says nothing but notes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        """Print a note."""
        self._console.print(escape(text), highlight=False)

    def doing(self, what: str) -> None:
        """Nothing."""

    def window_done(self, power_w: float | None, temperature_c: float | None) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class PlainLines(Silent):
    """One line now and then: for logs and CI."""

    def __init__(self, console: Console, windows: int) -> None:
        super().__init__(console)
        self._windows = windows
        self._done = 0
        self._what = ""
        self._next_s = time.monotonic() + PLAIN_EVERY_S

    def doing(self, what: str) -> None:
        """Remember it for the next line."""
        self._what = what

    def window_done(self, power_w: float | None, temperature_c: float | None) -> None:
        """Print a line if the last one is long ago."""
        self._done += 1
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PLAIN_EVERY_S
            self.note(f"[{self._done}/{self._windows}] {self._what} {_board(power_w, temperature_c)}".rstrip())


class Bar(Silent):
    """A live bar with case, watts and time left; redrawn at most twice a second, so that it costs nothing."""

    def __init__(self, console: Console, windows: int, title: str) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.fields[title]}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[board]} {task.fields[what]}", markup=False),
            console=console,
            refresh_per_second=2,
            transient=True,
        )
        self._task = self._progress.add_task("", total=windows, title=title, board="", what="")
        self._progress.start()

    def note(self, text: str) -> None:
        """Print above the bar."""
        self._progress.console.print(escape(text), highlight=False)

    def doing(self, what: str) -> None:
        """Show what is measured."""
        self._progress.update(self._task, what=what[:60])

    def window_done(self, power_w: float | None, temperature_c: float | None) -> None:
        """Move on."""
        self._progress.update(self._task, advance=1, board=_board(power_w, temperature_c))

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def reporter(console: Console, windows: int, title: str) -> Bar | PlainLines:
    """The one that fits where stderr goes."""
    return Bar(console, windows, title) if console.is_terminal else PlainLines(console, windows)


def _board(power_w: float | None, temperature_c: float | None) -> str:
    watts = "" if power_w is None else f"{power_w:.0f} W"
    return watts if temperature_c is None else f"{watts} {temperature_c:.0f} °C".strip()
