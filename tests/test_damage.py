"""Nothing measured is lost: kills and full disks at every write, files cut anywhere, damaged readings."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dying import DEAD, TINY
from quiet import Remembering, measured

from energybench.analysis.summary import summarize
from energybench.errors import RunFolderError
from energybench.journal import (
    OPERATORS_FILE,
    READINGS_FILE,
    RUN_FILE,
    WINDOWS_FILE,
    Journal,
    RunRecord,
    WindowRecord,
    load,
)

FATES = Path(__file__).with_name("dying.py")
SAMPLED = 60


def met(folder, count, how, step=1):
    """Let a run meet its fate at each (or each ``step``-th) of its first ``count`` writes; returns what was said."""
    words = [sys.executable, str(FATES), str(folder), str(count), how]
    done = subprocess.run([*words, "--each", str(step)], capture_output=True, text=True, check=False, cwd=FATES.parent)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def writes(tmp_path_factory):
    """How many calls of a tiny run change the disk."""
    folder = tmp_path_factory.mktemp("counted")
    words = [sys.executable, str(FATES), str(folder), "0", "count"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=FATES.parent)
    return int(done.stdout)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished tiny run."""
    return measured(tmp_path_factory.mktemp("whole"), text=TINY)[0]


def test_a_kill_at_every_write_leaves_a_folder_that_loads_and_goes_on(tmp_path, writes):
    """Half of a write is done when the kill comes; each write is followed by a call that is killed with it whole."""
    met(tmp_path, writes, "kill-half")
    unborn = resumed = 0
    for number in range(1, writes + 1):
        folders = [f for f in (tmp_path / str(number)).glob("results/*") if (f / RUN_FILE).exists()]
        if not folders:
            unborn += 1
            continue
        before = load(folders[0])
        rows = summarize(before).cases
        assert set(rows["status"]) <= {"ok", "missing"}, number
        for window in before.windows:
            assert before.readings(window) or window.readings is None, number
        if before.record.complete:
            continue
        again, _ = measured(tmp_path / str(number), text=TINY, progress=Remembering())
        assert again == folders[0], number
        after = load(again)
        assert after.record.complete
        assert after.windows[: len(before.windows)] == before.windows
        assert set(summarize(after).cases["status"]) == {"ok"}
        resumed += 1
    assert unborn < 20  # only while the folder and its two first files are made
    assert resumed > 5


def test_a_disk_that_is_full_at_any_write_stops_with_one_error_and_keeps_the_rest(tmp_path, writes):
    said = met(tmp_path, writes, "full")
    remedies = ("try: free space", "try: give a folder that may be written, with room on its disk")
    assert said.count("No space left on device") == sum(map(said.count, remedies))
    assert said.count("No space left on device") > 0.3 * writes
    for number in range(1, writes + 1):
        for folder in (tmp_path / str(number)).glob("results/*"):
            if (folder / RUN_FILE).exists():
                run = load(folder)
                assert all(run.readings(w) or w.readings is None for w in run.windows)
                assert set(summarize(run).cases["status"]) <= {"ok", "missing"}
                assert not list(folder.glob("*.draft"))


def test_a_folder_that_vanishes_stops_the_run_with_one_error(tmp_path, writes):
    said = met(tmp_path, writes, "gone", step=4).splitlines()
    errors = [line for line in said if "cannot be used" in line]
    assert len(errors) > 0.8 * writes / 4
    assert all("gone" in line or "No such file" in line or "not empty" in line for line in errors)


def record(**changes):
    fields = {"energybench_version": "0", "created_utc": "20260101T000000Z", "name": "s", "suite_text": ""}
    return RunRecord(**(fields | {"identity": "i", "cases": []} | changes))


def in_a_child(work):
    """Run ``work`` in a fork; returns what it returns, as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = str(work())
        except BaseException as error:  # noqa: BLE001  (whatever it was, the parent looks at it)
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_a_real_limit_on_file_size_keeps_every_window_before_it(tmp_path):
    def work():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal.create(tmp_path / "run", record(), [])
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        stamps = [(i / 10, i) for i in range(20)]
        for number in range(100):
            try:
                window = WindowRecord(number=0, kind="window", work="w", block=number, stop_s=1.9, stamps=stamps)
                journal.append(window)
            except RunFolderError as error:
                journal.close()
                return f"{number} {error}"
        return "never"

    number, _, message = in_a_child(work).partition(" ")
    assert "File too large" in message
    assert (tmp_path / "run" / WINDOWS_FILE).read_bytes().endswith(b"}\n")
    assert len(load(tmp_path / "run").windows) == int(number) > 5


def test_a_folder_that_may_not_be_written_is_refused_with_one_error(tmp_path):
    shared = Path("/tmp") / f"energybench-{os.getpid()}"
    shared.mkdir(mode=0o755)
    try:
        shared.chmod(0o555)

        def work():
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)  # root may write anywhere
            Journal.create(shared / "run", record(), [])

        said = in_a_child(work)
        assert said.startswith("RunFolderError: ")
        assert "Permission denied" in said
        assert "Traceback" not in said
    finally:
        shared.chmod(0o755)
        shutil.rmtree(shared)


def lengths(size):
    """Every length of a short file, a sample of a long one, and both its ends."""
    step = max(1, size // SAMPLED)
    return sorted({*range(0, size, step), *range(min(size, 5)), *range(max(size - 5, 0), size)})


def loaded(folder):
    """The run in ``folder``; None where the one error it may be refused with names the folder."""
    try:
        return load(folder)
    except RunFolderError as error:
        return None if str(folder) in str(error) else pytest.fail(str(error))


@pytest.mark.parametrize("name", [RUN_FILE, WINDOWS_FILE, OPERATORS_FILE, READINGS_FILE])
def test_a_file_cut_anywhere_loads_and_reports_or_says_one_thing(whole, tmp_path, name):
    data = (whole / name).read_bytes()
    truth = load(whole)
    refused = 0
    for length in lengths(len(data)):
        cut = tmp_path / str(length)
        shutil.copytree(whole, cut)
        (cut / name).write_bytes(data[:length])
        run = loaded(cut)
        if run is None:
            refused += 1
        else:
            assert set(summarize(run).cases["status"]) <= {"ok", "missing"}
            assert run.windows == truth.windows[: len(run.windows)]
        shutil.rmtree(cut)
    assert refused == (len(lengths(len(data))) if name == RUN_FILE else refused)
    assert refused == 0 or name in (RUN_FILE, OPERATORS_FILE)


def test_damaged_readings_take_only_their_window_and_the_row_says_so(whole, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(whole, damaged)
    good = summarize(load(whole))
    window = next(w for w in load(whole).windows if w.kind == "window")
    data = bytearray((damaged / READINGS_FILE).read_bytes())
    data[window.readings.offset + window.readings.length // 2] ^= 0xFF
    (damaged / READINGS_FILE).write_bytes(bytes(data))
    summary = summarize(load(damaged))
    rows, before = (s.cases.set_index("work") for s in (summary, good))
    for work in rows.index:
        hit = work == window.work
        assert rows.loc[work, "windows"] == before.loc[work, "windows"] - hit
        assert ("meter-faults" in rows.loc[work, "flags"].split()) == hit
        if not hit:  # the rhythm of the counter is found from all windows, and misses the damaged one
            assert rows.loc[work, "energy_per_inference_j"] == pytest.approx(
                before.loc[work, "energy_per_inference_j"], rel=1e-4
            )
        assert rows.loc[work, "energy_per_inference_j"] == pytest.approx(
            before.loc[work, "energy_per_inference_j"], rel=0.01
        )


def test_without_any_readings_latency_is_still_reported(whole, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(whole, bare)
    (bare / READINGS_FILE).unlink()
    rows = summarize(load(bare)).cases
    assert rows["loop_latency_s"].gt(0).all()
    assert rows["energy_per_inference_j"].isna().all()
    assert rows["reason"].str.startswith("no joules").all()


def test_the_status_of_a_killed_process_is_its_own(tmp_path):
    words = [sys.executable, str(FATES), str(tmp_path), "20", "kill"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=FATES.parent)
    assert (done.returncode, done.stdout) == (DEAD, "")
