"""Is anything ever lost? Kill a run at random instants, a hundred times, and look at the folder each time. `make soak`.

    python tests/soak.py [KILLS [SEED]]

Each kill is a real SIGKILL of a process that measures on a simulated board (torch is imported once, and forked). After
each, the folder must load and report, hold every window it held before, and be gone on with by the same command. A run
that ends is followed by another.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from quiet import Remembering, measured

from energybench.analysis.summary import summarize
from energybench.journal import RUN_FILE, Run, load

SUITE = """
name: soak
baseline: a
variants:
  a: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: 2}}
  b: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: 8}}
input: [4, $channels, 16, 16]
axes:
  channels: [16, 32, 48, 64, 80, 96]
method: {windows: 40, precision: 50%, window_s: 1s}
"""
LONGEST_S = 1.0


def main(kills: int, seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        measured(results / "first", text=SUITE.replace("windows: 40", "windows: 6"))  # all that is lazy happens once
        before: dict[str, Run] = {}
        for number in range(1, kills + 1):
            survived = kill(results, chance.uniform(0, LONGEST_S))
            found = {path.parent.name: load(path.parent) for path in sorted(results.glob(f"results/*/{RUN_FILE}"))}
            for folder, run in before.items():
                check(run, found[folder], number, seed)
            windows = sum(len(run.windows) for run in found.values())
            how = "ended by itself" if survived else "killed"
            print(f"{number}: {how}; {len(found)} runs, {windows} lines", flush=True)  # noqa: T201
            before = found
        folder, _ = measured(results, text=SUITE)
        rows = summarize(load(folder)).cases
        assert set(rows["status"]) == {"ok"}, rows
        assert load(folder).record.complete
    print(f"{kills} kills, nothing lost (seed {seed})")  # noqa: T201


def kill(results: Path, after_s: float) -> bool:
    """Measure in a fork and kill it; True where it had ended before."""
    child = os.fork()
    if child == 0:
        measured(results, text=SUITE, progress=Remembering())
        os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def check(before: Run, after: Run, number: int, seed: int) -> None:
    """What was there is there, its readings are whole, and it can be reported."""
    words = f"kill {number} of seed {seed}: {after.folder}"
    assert after.windows[: len(before.windows)] == before.windows, words
    assert not before.record.complete or after.windows == before.windows, words
    for window in after.windows[-5:]:
        assert window.readings is None or after.readings(window), words
    assert set(summarize(after).cases["status"]) <= {"ok", "missing"}, words


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
