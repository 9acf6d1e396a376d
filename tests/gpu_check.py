"""What can a machine with a GPU show in one call? Doctor, calibration, suites, a self-test, peers; kept as one archive.

    python tests/gpu_check.py results/gpu-check [--device cuda:0] [--seconds 540]

Uses the environment that is there, as ``python -m energybench``; nothing is installed and no setting of the board is
changed. What fails is written down, and the rest goes on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUITES = (
    "gconv",
    "gconv_networks",
    "inception_next",
    "lavin_blocks",
    "spatial_mixers",
    "pointwise_formats",
    "sparse_pointwise",
)
LEAST_S = 15.0
"""A suite that would get less than this is left out, and said to be."""
PEERS_S = 90.0
"""Kept for the comparison with other tools."""


class Check:
    """One call: runs commands one after another, each with what is left of the time, and keeps what they print."""

    def __init__(self, folder: Path, device: str, seconds: float) -> None:
        self.folder = folder
        self.device = device
        self._end_s = time.monotonic() + seconds
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def left_s(self) -> float:
        """Seconds until the call must be over."""
        return self._end_s - time.monotonic()

    def run(self, name: str, *words: str) -> None:
        """Run a command; its output goes to ``NAME.txt``, its exit status to the terminal."""
        begin_s = time.monotonic()
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with (self.folder / f"{name}.txt").open("w", encoding="utf-8") as output:
            try:
                done = subprocess.run(
                    [sys.executable, *words],
                    cwd=self.folder,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=max(self.left_s, 1.0),
                    check=False,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                )
                outcome = f"exit {done.returncode}"
            except subprocess.TimeoutExpired:
                outcome = "out of time; what was measured is kept"
        sys.stdout.write(f"{name}: {outcome}, {time.monotonic() - begin_s:.0f} s\n")
        sys.stdout.flush()

    def energybench(self, name: str, command: str, *words: str) -> None:
        """Run a command of energybench on the device."""
        self.run(name, "-m", "energybench", command, *words, "--device", self.device)


def check(folder: Path, device: str, seconds: float, suites: tuple[str, ...]) -> Path:
    """Run everything and return the archive."""
    call = Check(folder.resolve(), device, seconds)
    call.energybench("doctor", "doctor")
    call.energybench("calibration", "calibrate", "--figure", "calibration.svg")
    for number, suite in enumerate(suites):
        share_s = (call.left_s - PEERS_S) / (len(suites) - number + 1)
        if share_s < LEAST_S:
            sys.stdout.write(f"{suite}: left out, {call.left_s:.0f} s are left\n")
            continue
        words = ("--operators",) if suite == "gconv_networks" else ()
        call.energybench(suite, "run", suite, "--quick", "--budget", f"{share_s:.0f}s", "--output", suite, *words)
    call.energybench("self-test", "run", suites[0], "--aa", "--quick", "--output", "self-test")
    call.run("peers", str(ROOT / "tests" / "gpu_peers.py"), "peers.csv", "--device", device)
    archive = folder.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    return archive


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--suites", nargs="+", default=SUITES)
    given = parser.parse_args()
    sys.stdout.write(f"{check(given.folder, given.device, given.seconds, tuple(given.suites))}\n")
