"""sensor/store.py: a calibration is found again only for the board, driver and sources it was made with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from energybench.errors import MeterError
from energybench.sensor import PROFILES
from energybench.sensor.store import load_profile, profiles_folder, save_profile, stored

UUID, DRIVER, KINDS = "GPU-1234-abcd", "580.82.07", ("energy_j", "power_w")
PROFILE = replace(PROFILES["a100"], provenance="calibrated")


def keep(folder: Path) -> Path:
    return save_profile(PROFILE, uuid=UUID, driver=DRIVER, kinds=KINDS, report={"duration_s": 60.0}, folder=folder)


def test_a_profile_is_found_again_with_its_report(tmp_path: Path) -> None:
    keep(tmp_path)
    assert load_profile(UUID, DRIVER, KINDS, folder=tmp_path) == PROFILE
    assert load_profile(UUID, DRIVER, reversed(KINDS), folder=tmp_path) == PROFILE  # type: ignore[arg-type]
    found = stored(UUID, DRIVER, KINDS, folder=tmp_path)
    assert found.reason == ""
    assert found.report == {"duration_s": 60.0}
    assert found.created_utc.endswith("Z")


@pytest.mark.parametrize(
    ("uuid", "driver", "kinds", "because"),
    [
        (UUID, "590.1", KINDS, "made under driver 580.82.07, now it is 590.1"),
        (UUID, DRIVER, ("power_w",), "the sources differ"),
        ("GPU-9999", DRIVER, KINDS, "has not been calibrated"),
        (None, DRIVER, KINDS, "no UUID"),
    ],
)
def test_a_profile_of_something_else_is_refused(
    tmp_path: Path, uuid: str | None, driver: str, kinds: tuple[str, ...], because: str
) -> None:
    keep(tmp_path)
    found = stored(uuid, driver, kinds, folder=tmp_path)
    assert found.profile is None
    assert because in found.reason
    assert load_profile(uuid, driver, kinds, folder=tmp_path) is None


def test_a_file_copied_from_another_board_is_refused(tmp_path: Path) -> None:
    path = keep(tmp_path)
    entry = json.loads(path.read_text())
    path.write_text(json.dumps(entry | {"uuid": "GPU-other"}))
    assert "another board" in stored(UUID, DRIVER, KINDS, folder=tmp_path).reason


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"schema": 99}', "\x00\x01", '{"schema": 1, "uuid": "GPU-1234-abcd"}']
)
def test_a_file_that_cannot_be_read_is_refused_and_can_be_replaced(tmp_path: Path, text: str) -> None:
    path = keep(tmp_path)
    path.write_text(text)
    found = stored(UUID, DRIVER, KINDS, folder=tmp_path)
    assert found.profile is None
    assert "energybench calibrate" in found.reason
    keep(tmp_path)
    assert load_profile(UUID, DRIVER, KINDS, folder=tmp_path) == PROFILE


def test_a_profile_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    path = keep(tmp_path)
    entry = json.loads(path.read_text())
    entry["profile"]["streams"][0]["refresh_s"] = -1.0
    path.write_text(json.dumps(entry))
    assert "cannot be read" in stored(UUID, DRIVER, KINDS, folder=tmp_path).reason


def test_a_new_calibration_replaces_the_old_one_whole(tmp_path: Path) -> None:
    keep(tmp_path)
    other = replace(PROFILE, title="again")
    save_profile(other, uuid=UUID, driver=DRIVER, kinds=KINDS, folder=tmp_path)
    assert load_profile(UUID, DRIVER, KINDS, folder=tmp_path) == other
    assert len(list(tmp_path.iterdir())) == 1  # nothing temporary is left


def test_boards_whose_names_differ_in_odd_characters_have_files_of_their_own(tmp_path: Path) -> None:
    for uuid in ("GPU-a/b", "GPU-a_b", "../GPU-a"):
        path = save_profile(replace(PROFILE, title=uuid), uuid=uuid, driver=DRIVER, kinds=KINDS, folder=tmp_path)
        assert path.parent == tmp_path
    for uuid in ("GPU-a/b", "GPU-a_b", "../GPU-a"):
        found = load_profile(uuid, DRIVER, KINDS, folder=tmp_path)
        assert found is not None
        assert found.title == uuid


def test_the_folder_follows_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert profiles_folder() == tmp_path / "energybench" / "sensors"
    save_profile(PROFILE, uuid=UUID, driver=DRIVER, kinds=KINDS)
    assert load_profile(UUID, DRIVER, KINDS) == PROFILE


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(MeterError, match="cannot be kept"):
        keep(blocked / "sensors")
    with pytest.raises(MeterError, match="no UUID"):
        save_profile(PROFILE, uuid="", driver=DRIVER, kinds=KINDS, folder=tmp_path)
