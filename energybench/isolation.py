"""What if a process dies of what it measures? Every comparison gets one of its own, which takes only itself along.

The same command, with a word more, measures one comparison into the run folder and ends with ``GO_ON``; the last one
finds nothing left and reports. Which piece of work is running stands in a small file that all of them inherit, so that
the one after a death knows what it was of; so does how much of a budget is spent. The run folder, its lock and the
device's lock need not know of any of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

GO_ON = 75
"""A comparison is done, others may be left (EX_TEMPFAIL of sysexits.h)."""

FIRST, NEXT, DIED = "first", "next", "died:"
NOTE_BYTES = 4096


@dataclass(frozen=True)
class Step:
    """One process of an isolated run.

    Attributes:
        file: descriptor of the file that says what is running.
        said: ``first``, ``next``, or ``died:`` and how the process before it died.
    """

    file: int
    said: str

    @property
    def died(self) -> str:
        """How the process before this one died; empty where it did not."""
        return self.said.removeprefix(DIED) if self.said.startswith(DIED) else ""

    def note(self, comparison: str, work: str, *, spent_s: float = 0.0) -> None:
        """Write down what is about to run, and how much of a budget was spent before it."""
        text = json.dumps([comparison, work, spent_s]).encode()
        os.pwrite(self.file, text[:NOTE_BYTES].ljust(NOTE_BYTES), 0)

    def noted(self) -> tuple[str, str] | None:
        """What was running last: comparison and work; None where nothing was."""
        text = os.pread(self.file, NOTE_BYTES, 0)
        if not text:
            return None
        comparison, work, _ = json.loads(text)
        return comparison, work

    def spent_s(self) -> float:
        """Seconds of a budget that the processes before this one have spent."""
        text = os.pread(self.file, NOTE_BYTES, 0)
        return float(json.loads(text)[2]) if text else 0.0


def supervise(words: Sequence[str], suite: int) -> int:
    """Run a command process after process until it ends by itself; returns its exit status.

    Args:
        words: the command, as typed after ``energybench``.
        suite: which of the command's suites.
    """
    said = FIRST
    with tempfile.TemporaryFile() as file:
        while True:
            step = ["--isolated", str(suite), str(file.fileno()), said]
            status, asked = _one(["run", *words, *step], file.fileno())
            if asked:
                return 128 + asked
            if status == GO_ON:
                said = NEXT
            elif status < 0:
                said = DIED + signal.Signals(-status).name
            else:
                return status


def _one(words: Sequence[str], file: int) -> tuple[int, int]:
    """Run one process; returns its exit status and the signal that asked us to end (0 for none), which it got too."""
    asked = 0

    def pass_on(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = number
        child.send_signal(number)

    command = [sys.executable, "-m", "energybench", *words]
    # In a session of its own a Ctrl-C reaches it once, through us.
    child = subprocess.Popen(command, pass_fds=[file], start_new_session=True)  # noqa: S603  (ourselves)
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status, asked
