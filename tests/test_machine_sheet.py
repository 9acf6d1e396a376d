from __future__ import annotations

import pytest

from energybench.errors import MachineError
from energybench.machine_sheet import sheet_from_yaml

GOOD = """
name: mine
title: My board
provenance: measured
match: [My Board]
peak_flops_per_s:
  float32: {value: 1.0e+13, source: a GEMM}
bandwidth_bytes_per_s: {value: 5.0e+11, source: a copy}
tdp_w: {value: 250, source: data sheet}
idle_w: {value: 30, source: meter}
static_w: {value: 50, source: fit}
j_per_flop:
  float32: {value: 5.0e-12, source: fit}
j_per_byte: {value: 1.0e-10, source: fit, doubt: one run}
launch_s: {value: 2.0e-6, source: assumed}
"""


def test_a_sheet_needs_no_cache_numbers():
    sheet = sheet_from_yaml(GOOD, origin="mine.yaml")
    assert sheet.l2_bytes is None
    assert sheet.j_per_byte.doubt == "one run"


def test_energies_are_all_there_or_none():
    lines = GOOD.splitlines()
    without = [x for x in lines if not x.startswith(("tdp", "idle", "static", "j_per"))]
    without.remove("  float32: {value: 5.0e-12, source: fit}")
    assert sheet_from_yaml("\n".join(without), origin="mine.yaml").j_per_byte is None
    with pytest.raises(MachineError, match="all there, or none"):
        sheet_from_yaml("\n".join(x for x in lines if not x.startswith("static_w")), origin="mine.yaml")


def test_numbers_that_yaml_reads_as_text_are_still_numbers():
    # YAML 1.1 takes 1e13 (no point, no sign) for a string
    sheet = sheet_from_yaml(GOOD.replace("1.0e+13", "1e13"), origin="mine.yaml")
    assert sheet.peak_flops_per_s["float32"].value == 1e13


@pytest.mark.parametrize(
    ("wrong", "right", "where", "what"),
    [
        ("tdp_w: {value: .nan", "tdp_w: {value: 250", "tdp_w.value", "got nan"),
        ("tdp_w: {value: .inf", "tdp_w: {value: 250", "tdp_w.value", "finite"),
        ("tdp_w: {value: -250", "tdp_w: {value: 250", "tdp_w.value", "greater than or equal to 0, got -250"),
        ("tdp_w: {value: true", "tdp_w: {value: 250", "tdp_w.value", "not true or false"),
        ("tdp_w: {value: 0", "tdp_w: {value: 250", "tdp_w", "above zero"),
        ("tdp_w: {value: 20", "tdp_w: {value: 250", "", "idle_w is not below tdp_w"),
        ("idle_w: {value: 30}", "idle_w: {value: 30, source: meter}", "idle_w.source", "required"),
        ("idle_w: 30", "idle_w: {value: 30, source: meter}", "idle_w", "got 30"),
        ("idle_w: {val: 30,", "idle_w: {value: 30,", "idle_w.val", "did you mean 'value'"),
        ("bandwith_bytes_per_s:", "bandwidth_bytes_per_s:", "bandwith_bytes_per_s", "did you mean 'bandwidth_bytes_"),
        ("titel: x\ntitle:", "title:", "titel", "did you mean 'title'"),
        ("flaot16: {value: 1.0e+13", "float32: {value: 1.0e+13", "peak_flops_per_s.flaot16", "float16"),
        ("float16: {value: 1.0e+13", "float32: {value: 1.0e+13", "", "the same data types"),
        ("provenance: guessed", "provenance: measured", "provenance", "got 'guessed'"),
    ],
)
def test_a_wrong_sheet_is_refused_with_file_field_and_reason(wrong: str, right: str, where: str, what: str):
    assert right in GOOD
    with pytest.raises(MachineError) as caught:
        sheet_from_yaml(GOOD.replace(right, wrong, 1), origin="mine.yaml")
    assert caught.value.where == (f"mine.yaml, field {where}" if where else "mine.yaml")
    assert what in caught.value.what


def test_a_duplicate_key_is_refused_with_its_line():
    with pytest.raises(MachineError, match=r"(?s)duplicate key 'launch_s'.*line 16"):
        sheet_from_yaml(GOOD + "launch_s: {value: 1.0e-6, source: again}\n", origin="mine.yaml")


@pytest.mark.parametrize("text", ["[1, 2]", "just words", "", "a: [", "!!python/object/apply:os.getcwd []", "[" * 5000])
def test_what_is_not_a_sheet_at_all_is_a_machine_error(text: str):
    with pytest.raises(MachineError):
        sheet_from_yaml(text, origin="mine.yaml")
