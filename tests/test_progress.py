"""How far are we: totals that stay true through skips, failures, resumption and growth; lines, events, silence."""

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest
from quiet import SMALL, Remembering, measured
from rich.console import Console
from test_survival import energybench

from energybench.journal import load
from energybench.progress import Bar, JsonLines, PlainLines, Quiet, Tally, reporter

WANTS_MORE = SMALL.replace("quick:", "method: {precision: 0.1%}\nquick:")


def windows_of(folder):
    return sum(w.kind == "window" and not w.repeat for w in load(folder).windows)


def test_the_first_total_is_what_was_planned_and_the_last_is_what_was_measured(tmp_path):
    progress = Remembering()
    folder, study = measured(tmp_path, progress=progress, precision=0.5)
    assert progress.expected[0] == (0, study.works * study.plan.windows)
    assert all(done + to_come == windows_of(folder) for done, to_come in progress.expected)


def test_a_comparison_that_asks_for_more_windows_lengthens_the_total(tmp_path):
    progress = Remembering()
    folder, study = measured(tmp_path, text=WANTS_MORE, progress=progress)
    totals = [done + to_come for done, to_come in progress.expected]
    assert totals[0] == study.works * study.plan.windows < totals[-1]
    assert totals == sorted(totals)
    assert totals[-1] == windows_of(folder)


def test_a_resumed_run_begins_where_it_stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, progress=Remembering(interrupt_after=9), precision=0.5)
    progress = Remembering()
    folder, study = measured(tmp_path, progress=progress, precision=0.5)
    done, to_come = progress.expected[0]
    assert done == 9
    assert done + to_come >= study.works * study.plan.windows
    assert sum(progress.expected[-1]) == windows_of(folder)


def test_the_tally_sums_joules_and_guesses_the_time_left_from_this_session_alone(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("energybench.progress.time.monotonic", lambda: now[0])
    tally = Tally()
    tally.expects(30, 20)
    assert tally.left_s is None
    now[0] = 110.0
    for _ in range(5):
        tally.window_done(300.0, 41.0, 600.0)
    # 5 windows in 10 s, 15 to come; the 30 of an earlier session took no time of this one.
    assert tally.left_s == pytest.approx(30.0)
    assert (tally.done, tally.total) == (35, 50)
    assert tally.words() == "300 W, 41 °C, 3.00 kJ so far, 30 s left"


def test_plain_lines_are_whole_lines_without_escapes(monkeypatch):
    monkeypatch.setattr("energybench.progress.PLAIN_EVERY_S", 0.0)
    out = io.StringIO()
    lines = PlainLines(Console(file=out, width=40))
    lines.doing("E2GC G=8 | channels=64 size=8 batch=4 dtype=float32 [bold]")
    lines.expects(0, 4)
    lines.window_done(250.0, None, 250.0)
    text = out.getvalue()
    assert text.startswith("[1/4] E2GC G=8 | channels=64 size=8 batch=4 dtype=float32 [bold]: 250 W, 250 J so far, ")
    assert text.count("\n") == 1
    assert "\x1b" not in text


def test_where_stderr_goes_decides_and_words_decide_before_it():
    terminal, pipe = Console(file=io.StringIO(), force_terminal=True), Console(file=io.StringIO())
    bar = reporter(terminal, "x")
    bar.expects(0, 3)
    bar.window_done(None, None, None)
    bar.close()
    assert isinstance(bar, Bar)
    assert "1/3" in terminal.file.getvalue()
    assert isinstance(reporter(pipe, "x"), PlainLines)
    assert isinstance(reporter(terminal, "x", quiet=True), Quiet)
    assert isinstance(reporter(terminal, "x", events=True), JsonLines)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    (folder / "small.yaml").write_text(SMALL)
    return folder


def test_events_are_one_object_a_line_and_add_up(study):
    words = ("run", "small.yaml", "--device", "sim:h200", "--quick", "--output", "run", "--json")
    done = energybench(*words, cwd=study)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert events[0] == {"event": "begin", "schema": 1, "suite": "small"}
    assert events[-1] == {"event": "end", "folder": "run", "status": 0}
    windows = [event for event in events if event["event"] == "window"]
    assert [event["done"] for event in windows] == list(range(1, len(windows) + 1))
    assert windows[-1]["done"] == windows[-1]["total"] == windows_of(study / "run")
    assert windows[-1]["energy_so_far_j"] > windows[0]["energy_so_far_j"] > 0
    assert {event["event"] for event in events} == {"begin", "note", "expects", "doing", "window", "end"}
    assert "SIMULATED" in done.stdout


def test_with_events_an_error_is_an_event_too(study):
    done = energybench("run", "small.yaml", "--device", "sim:h201", "--json", cwd=study)
    assert done.returncode == 3
    error = json.loads(done.stderr.splitlines()[-1])
    assert error["event"] == "error"
    assert error["status"] == 3
    assert "h200" in error["text"]


def test_measuring_a_machine_shows_the_time_left_and_takes_its_bar_away(tmp_path):
    """On a real terminal: what is left is told while it runs, and the table stands alone afterwards."""
    ours, theirs = pty.openpty()
    words = ("machines", "measure", "--device", "sim:p100-pcie", "--quick", "--output", "run")
    command = [sys.executable, "-m", "energybench", *words]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with (tmp_path / "table").open("w") as table:
        running = subprocess.Popen(command, cwd=tmp_path, stdout=table, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b"".join(iter(lambda: _piece(ours), b"")).decode()
    os.close(ours)
    assert running.wait(timeout=60) == 0
    assert re.search(r"\d+/\d+.* \d+ s left", shown)
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor is hidden once and given back
    assert shown.rstrip().endswith("\x1b[2K")  # the last line is erased
    lines = (tmp_path / "table").read_text().splitlines()
    assert lines[0].startswith("simulated NVIDIA Tesla P100")
    assert all(lines[:-2])  # rows are not torn apart by a bar that is still drawn


def _piece(terminal):
    """What a terminal has shown since; nothing once the other end is closed."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_quiet_says_nothing_but_the_answer(study):
    done = energybench("run", "small.yaml", "--device", "sim:h200", "--dry-run", "--quiet", cwd=study)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "6 cases" in done.stdout
