"""The surroundings of a run in words: units, groups, and nothing said twice."""

from __future__ import annotations

from typing import Any

from report_example import example_summary

from energybench.report.environment import environment, kinds_in_words


def told(device: dict[str, Any], meter: dict[str, Any], versions: dict[str, str]) -> dict[str, dict[str, str]]:
    record = example_summary().run.record.model_copy(update={"device": device, "meter": meter, "versions": versions})
    return {group.name: dict(group.lines) for group in environment(record)}


def test_keys_become_words_and_numbers_get_their_unit() -> None:
    found = told(
        {"name": "cuda:0", "title": "NVIDIA H100", "memory_bytes": 85e9, "sm_clock_max_hz": 1.98e9, "uuid": None},
        {"name": "nvml", "meter": "nvml", "power_limit_w": 700.0, "kinds": ["energy_j", "power_w"], "driver": "580.1"},
        {"torch": "2.9"},
    )
    assert found == {
        "device": {"as typed": "cuda:0", "name": "NVIDIA H100", "memory": "85.0 GB", "SM clock, most": "1.98 GHz",
                   "power limit": "700 W"},
        "meter": {"name": "nvml", "reads": "energy counter, power"},
        "software": {"driver": "580.1", "torch": "2.9"},
    }  # fmt: skip


def test_what_is_off_is_said_of_switches_only_and_unknown_keys_come_last() -> None:
    found = told({"ecc": False, "new_thing": 3, "empty": ""}, {"foreign_device": False, "warnings": []}, {})
    assert found == {"device": {"ECC": "off"}, "other": {"device new thing": "3"}}


def test_a_meter_on_another_device_is_named() -> None:
    assert told({}, {"foreign_device": True}, {}) == {"meter": {"watches another device than the run's": "yes"}}


def test_what_a_meter_reads_is_told_in_one_line() -> None:
    assert kinds_in_words(["energy_j", "power_instant_w", "power_w"]) == "energy counter and power"
    assert kinds_in_words(["power_average_w"]) == "power"
    assert kinds_in_words([]) == ""
