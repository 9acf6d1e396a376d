"""What is measured, in which environment, and where do the numbers go? One process a tool and board; rows are appended.

Peers are real installations, each in a virtual environment of its own, with every package pinned.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from accuracy.boards import ARCHITECTURES, configuration

HERE = Path(__file__).parent
TESTS = HERE.parent
LOOPS = ((0.02, 3), (0.1, 5), (0.5, 9), (2.0, 7), (5.0, 4))
"""Length of the load in seconds, and how often each is measured: most often where a window's edges rule the error."""
LANES = 5
"""Processes at a time that mostly sleep. Zeus' power monitor polls without pause, so one of it runs beside them."""
ROW = ("tool", "version", "profile", "loop_s", "repeated", "truth_j", "joules", "reason")
LIMIT_S = 600
"""Of one process: four times as long as its loads and rests take, should every one be late, and room to start."""


@dataclass(frozen=True)
class Watcher:
    """A process that watches a load: the module it runs, its environment, and whether it keeps a core busy."""

    name: str
    module: str
    environment: str = ""
    knowledge: str = ""
    busy: bool = False


WATCHERS = (
    Watcher("energybench", "watch_energybench", knowledge="calibrated"),
    Watcher("energybench uncalibrated", "watch_energybench", knowledge="assumed"),
    Watcher("Zeus", "watch_zeus", "zeus", busy=True),
    Watcher("Kernel Tuner", "watch_kernel_tuner", "kernel-tuner"),
    Watcher("CodeCarbon", "watch_codecarbon", "codecarbon"),
)


@dataclass(frozen=True)
class Job:
    """One watcher on one board."""

    watcher: Watcher
    board: str

    @property
    def name(self) -> str:
        """Stable, for the log of what is done."""
        return f"{self.watcher.name} on {self.board}"


def jobs(pattern: str = "*") -> tuple[Job, ...]:
    """Every watcher on every board whose job's name matches the pattern."""
    everything = (Job(watcher, board) for board in ARCHITECTURES for watcher in WATCHERS)
    return tuple(job for job in everything if fnmatch(job.name, pattern))


def make_environment(name: str, folder: Path) -> Path:
    """A peer's virtual environment, made once; returns its interpreter.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    python, requirements = folder / name / "bin" / "python", HERE / f"requirements-{name}.txt"
    ready = folder / name / ".ready"
    if not ready.exists() or ready.read_text() != requirements.read_text():
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        ready.write_text(requirements.read_text())
    return python


@dataclass(frozen=True)
class Site:
    """Where it happens: the fake library, the environments, the file of rows, the loads."""

    library: Path
    environments: Path
    rows: Path
    loops: Sequence[tuple[float, int]] = LOOPS

    @property
    def log(self) -> Path:
        """Names of the jobs that are done."""
        return self.rows.with_suffix(".done")

    def done(self) -> frozenset[str]:
        """The jobs that need not be run again."""
        return frozenset(self.log.read_text().splitlines() if self.log.exists() else ())


def measure(site: Site, todo: Sequence[Job], *, budget_s: float = float("inf")) -> int:
    """Run the jobs that are not done yet, light ones several at a time; returns how many are left.

    Args:
        site: where.
        todo: what.
        budget_s: no job is begun after this time.
    """
    missing = [job for job in todo if job.name not in site.done()]
    for environment in dict.fromkeys(job.watcher.environment for job in missing if job.watcher.environment):
        make_environment(environment, site.environments)
    end_s = time.monotonic() + budget_s
    lock = threading.Lock()

    def work(job: Job) -> None:
        if time.monotonic() < end_s:
            rows = list(run(site, job))
            with lock:
                _append(site, job, rows)

    with ThreadPoolExecutor(LANES) as light, ThreadPoolExecutor(1) as busy:
        for future in [(busy if job.watcher.busy else light).submit(work, job) for job in missing]:
            future.result()
    return sum(job.name not in site.done() for job in todo)


def run(site: Site, job: Job) -> Iterator[dict[str, object]]:
    """Rows of one job; a peer that fails has rows with its last words for every load.

    Raises:
        RuntimeError: energybench itself failed: a bug of ours is not a refusal.
    """
    watcher = job.watcher
    seed = sum(map(ord, job.name))
    python = site.environments / watcher.environment / "bin/python" if watcher.environment else Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        config, ledger = Path(folder, "board.conf"), Path(folder, "ledger")
        config.write_text(configuration(job.board, ledger=str(ledger), origin_s=time.monotonic(), seed=seed))
        command = [str(python), "-m", f"accuracy.{watcher.module}", json.dumps({"seed": seed, "loops": site.loops})]
        command += [watcher.knowledge] if watcher.knowledge else []
        variables = _variables(site, Path(folder), config)
        done = subprocess.run(
            command, env=variables, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    rows = [{**json.loads(line), "profile": job.board} for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        if not watcher.environment:
            raise RuntimeError(f"{job.name}: {last}")
        rows += [_row(watcher.name, "", job.board, loop_s, last) for loop_s, _ in site.loops]
    yield from rows


def _variables(site: Site, folder: Path, config: Path) -> dict[str, str]:
    """The process's environment: the fake is its only NVML."""
    program = folder / "nvidia-smi"  # CodeCarbon looks for the program before it asks NVML
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(site.library.parent),
        "FAKE_NVML_CONFIG": str(config),
        "XDG_CACHE_HOME": str(folder),  # no calibration of another day
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "PATH": os.pathsep.join([str(folder), os.environ.get("PATH", "")]),
    }


def _row(tool: str, version: str, profile: str, loop_s: float, reason: str) -> dict[str, object]:
    values = (tool, version, profile, loop_s, 0, 0.0, None, reason)
    return dict(zip(ROW, values, strict=True))


def _append(site: Site, job: Job, rows: Sequence[dict[str, object]]) -> None:
    new = not site.rows.exists()
    with site.rows.open("a", newline="") as file:
        writer = csv.DictWriter(file, ROW)
        if new:
            writer.writeheader()
        writer.writerows(rows)
    with site.log.open("a") as file:
        file.write(f"{job.name}\n")
