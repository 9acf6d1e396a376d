"""The run folder: nothing written is lost, whatever is torn is recognised, strangers' folders are only data."""

import json
import shutil

import pytest

from energybench.errors import RunFolderError
from energybench.journal import (
    READINGS_FILE,
    RUN_FILE,
    WINDOWS_FILE,
    CaseRecord,
    Journal,
    OperatorRecord,
    RunRecord,
    WindowRecord,
    load,
)
from energybench.readings import Reading

CASE = CaseRecord(
    id="a | batch=1",
    variant="a",
    layer="GroupConv2d",
    comparison="batch=1",
    batch=1,
    dtype="float32",
    baseline="a",
    work="w",
    macs=10,
    params=1,
    compulsory_bytes=8,
    eager_bytes=8,
    peak_memory_bytes=8,
)
OPERATOR = OperatorRecord(
    work="w", index=0, name="conv2d", family="conv_dense", macs=10, read_bytes=4, write_bytes=4, dtype="float32"
)


def record(**changes):
    fields = {
        "energybench_version": "0",
        "created_utc": "20260101T000000Z",
        "name": "s",
        "suite_text": "",
        "identity": "i",
        "cases": [CASE],
    }
    return RunRecord(**(fields | changes))


def window(i):
    return WindowRecord(
        number=0, kind="window", work="w", block=i, start_s=i, stop_s=i + 1, stamps=[(i, 0), (i + 1, 9)]
    )


def readings(i):
    return [Reading(i + 0.1, "energy_j", 1.25 + i, None, 2e-6), Reading(i + 0.2, "energy_j", 2.5 + i, 7.5, 2e-6)]


@pytest.fixture
def folder(tmp_path):
    journal = Journal.create(tmp_path / "run", record(), [OPERATOR])
    for i in range(3):
        journal.append(window(i), readings(i))
    journal.close()
    return tmp_path / "run"


def test_what_was_appended_comes_back_bit_for_bit(folder):
    run = load(folder)
    assert [w.number for w in run.windows] == [0, 1, 2]
    assert run.readings(run.windows[1]) == readings(1)
    assert run.operators == (OPERATOR,)
    assert run.record.cases == [CASE]


@pytest.mark.parametrize("name", [WINDOWS_FILE, READINGS_FILE])
def test_a_file_cut_at_any_byte_loads_and_resumes_without_a_wrong_number(folder, tmp_path, name):
    whole = (folder / name).read_bytes()
    for length in range(len(whole)):
        cut = tmp_path / "cut"
        shutil.copytree(folder, cut)
        (cut / name).write_bytes(whole[:length])
        run = load(cut)
        for w in run.windows:
            whole_member = name == WINDOWS_FILE or w.readings.offset + w.readings.length <= length
            if whole_member:
                assert run.readings(w) == readings(w.number)
            else:
                with pytest.raises(RunFolderError, match="damaged"):
                    run.readings(w)
        shutil.rmtree(cut)


def test_a_torn_last_line_is_cut_off_before_going_on(folder):
    with (folder / WINDOWS_FILE).open("ab") as file:
        file.write(b'{"number": 3, "kind": "win')
    with (folder / READINGS_FILE).open("ab") as file:
        file.write(b"\x1f\x8b torn member")
    journal = Journal.resume(load(folder))
    journal.append(window(3), readings(3))
    journal.close()
    run = load(folder)
    assert [w.block for w in run.windows] == [0, 1, 2, 3]
    assert run.readings(run.windows[3]) == readings(3)
    assert run.record.sessions == 2


def test_a_damaged_line_in_the_middle_is_named(folder):
    lines = (folder / WINDOWS_FILE).read_text().splitlines(keepends=True)
    lines[1] = "{}\n"
    (folder / WINDOWS_FILE).write_text("".join(lines))
    with pytest.raises(RunFolderError, match=r"windows\.jsonl:2"):
        load(folder)


def test_flipped_bits_in_readings_are_refused(folder):
    data = bytearray((folder / READINGS_FILE).read_bytes())
    data[20] ^= 0xFF
    (folder / READINGS_FILE).write_bytes(bytes(data))
    run = load(folder)
    with pytest.raises(RunFolderError, match="damaged"):
        run.readings(run.windows[0])


def test_a_folder_that_holds_a_run_is_not_overwritten(folder):
    with pytest.raises(RunFolderError, match="already holds a run"):
        Journal.create(folder, record(), [])


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        load(tmp_path)


def test_a_newer_schema_is_refused_with_the_remedy(folder):
    data = json.loads((folder / RUN_FILE).read_text())
    data["schema_version"] = 999
    (folder / RUN_FILE).write_text(json.dumps(data))
    with pytest.raises(RunFolderError, match="upgrade"):
        load(folder)


def test_updating_the_record_replaces_it_whole(folder):
    run = load(folder)
    journal = Journal.resume(run)
    journal.update(journal.record.model_copy(update={"complete": True}))
    journal.close()
    assert load(folder).record.complete
    assert not list(folder.glob("*.draft"))


def test_two_writers_of_one_folder_are_refused_until_the_first_is_gone(folder):
    first = Journal.resume(load(folder))
    with pytest.raises(RunFolderError, match="another energybench is measuring into it"):
        Journal.resume(load(folder))
    first.close()
    Journal.resume(load(folder)).close()


def test_what_another_process_wrote_since_the_folder_was_found_is_gone_on_with(folder):
    found = load(folder)
    other = Journal.resume(load(folder))
    number = other.append(window(7), readings(7)).number
    other.close()
    journal = Journal.resume(found)
    assert [w.number for w in journal.windows][-1] == number
    assert journal.record.sessions == 3
    journal.append(window(8), readings(8))
    journal.close()
    again = load(folder)
    assert again.readings(again.windows[-2]) == readings(7)
    assert again.readings(again.windows[-1]) == readings(8)


def test_a_stopped_comparison_is_a_line_and_the_record_is_not_written_again(folder):
    journal = Journal.resume(load(folder))
    before = (folder / RUN_FILE).stat().st_mtime_ns
    journal.stop("batch=1", "budget")
    journal.stop("batch=1", "converged")
    assert (folder / RUN_FILE).stat().st_mtime_ns == before
    journal.close()
    assert load(folder).record.stopped == {"batch=1": "converged"}
    assert journal.record.stopped == {"batch=1": "converged"}


def test_a_folder_with_something_else_in_it_is_not_written_into(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        Journal.create(tmp_path / "mine", record(), [])
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    with pytest.raises(RunFolderError, match=r"thesis.tex is a file"):
        Journal.create(tmp_path / "mine" / "thesis.tex" / "run", record(), [])
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "operators.jsonl.draft").write_text("{")
    Journal.create(tmp_path / "begun", record(), []).close()
