"""A suite file says what it means, and what it cannot mean is told with file, line, field and value."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.errors import SuiteError
from energybench.suite import (
    list_suites,
    load_suite,
    parse_duration_s,
    parse_precision,
    parse_suite,
    suite_schema,
)
from energybench.suite.cases import expand

GOOD = """\
name: study
about: two ways to convolve
baseline: FgGC
variants:
  FgGC: {layer: GroupConv2d, args: {channels: $channels, groups: 4}}
  E2GC:
    layer: GroupConv2d
    args:
      channels: $channels
      group_size: 8
    pair: FgGC
input: [$batch, $channels, 8, 8]
axes:
  stage:
    - {channels: 16, repeat: 1}
    - {channels: 32, repeat: 5}
  batch: [1, 4]
skip:
  - {variant: E2GC, channels: 16, because: too narrow}
quick: {batch: [1]}
method: {precision: 1%, windows: 6, window_s: 500ms, budget_s: 20min}
analytic: group_size
"""


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def complaint(text: str) -> str:
    with pytest.raises(SuiteError) as raised:
        parse_suite(text, "suites/x.yaml")
    return str(raised.value)


def test_a_suite_says_what_its_file_says():
    suite = parse_suite(GOOD, "x.yaml")
    assert list(suite.variants) == ["FgGC", "E2GC"]
    assert suite.variants["E2GC"].pair == "FgGC"
    assert (suite.method.precision, suite.method.windows) == (0.01, 6)
    assert (suite.method.window_s, suite.method.budget_s) == (0.5, 1200.0)
    assert suite.skip[0].fields == {"channels": 16}
    assert suite.entries["batch"] == [{"batch": 1}, {"batch": 4}]
    assert (suite.text, suite.source) == (GOOD, "x.yaml")


def test_the_defaults_are_the_trustworthy_ones():
    suite = parse_suite("{name: a, baseline: v, variants: {v: {layer: GroupConv2d}}, input: [1]}")
    assert (suite.method.precision, suite.method.windows) == (0.01, 8)
    assert (suite.method.window_s, suite.method.budget_s, suite.axes) == (None, None, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (replaced("    pair:", "    piar:"), ["suites/x.yaml:11: variants.E2GC.piar", "'pair'"]),
        (replaced("windows: 6", "window: 6"), ["x.yaml:21: method.window", "'windows'"]),
        (replaced("baseline: FgGC", "baseline: FgGc"), ["x.yaml:3: baseline", "'FgGc'", "did you mean 'FgGC'"]),
        (replaced("pair: FgGC", "pair: E2GC"), ["x.yaml:11", "its own pair"]),
        (replaced("pair: FgGC", "pair: FgCG"), ["x.yaml:11: variants.E2GC.pair", "'FgCG'", "did you mean 'FgGC'"]),
        (replaced("channels: $channels\n", "channels: $chanels\n"), ["x.yaml:9", "args.channels", "$channels"[1:]]),
        (replaced("group_size: 8", "group_size: $repeat"), ["x.yaml:10", "$repeat refers to no field"]),
        (replaced("group_size: 8", "group_size: $channels*2"), ["x.yaml:10", "stands for a whole value"]),
        (replaced("[$batch, $channels, 8, 8]", "[$batch, channels, 8, 8]"), ["x.yaml:12: input[1]", "$reference"]),
        (replaced("[$batch, $channels, 8, 8]", "[$batch, 0, 8, 8]"), ["x.yaml:12: input[1]", "positive"]),
        (replaced("[$batch, $channels, 8, 8]", "[4, $channels, 8, 8]"), ["x.yaml:13: axes", "no input has $batch"]),
        (replaced("batch: [1, 4]", "batch: [1, 0]"), ["x.yaml:17: axes.batch[1]", "whole number from 1, not 0"]),
        (replaced("batch: [1, 4]", "batch: [1, 1]"), ["x.yaml:17: axes.batch[1]", "twice"]),
        (replaced("batch: [1, 4]", "batch: []"), ["x.yaml:17: axes.batch"]),
        (replaced("batch: [1, 4]", "batch: 4"), ["x.yaml:17: axes.batch", "must be a list, not 4"]),
        (replaced("batch: [1, 4]", "batch: [1, null]"), ["x.yaml:17: axes.batch[1]", "not None"]),
        (replaced("batch: [1, 4]", "batch: [1, {a: 4}]"), ["x.yaml:17: axes.batch[1]", "not both"]),
        (replaced("batch: [1, 4]", "batch: [1]\n  dtype: [fp16]"), ["x.yaml:18: axes.dtype[0]", "'fp16'", "float16"]),
        (replaced("batch: [1, 4]", "batch: [1]\n  channels: [2]"), ["x.yaml:18: axes.channels", "axis 'stage'"]),
        (replaced("batch: [1, 4]", "batch: [1]\n  power_w: [2]"), ["x.yaml:18", "column of results.csv"]),
        (replaced("batch: [1, 4]", "batch: [1]\n  Batch: [2]"), ["x.yaml:18", "lower case"]),
        (replaced("channels: 32, repeat: 5", "channels: 16, repeat: 5"), ["x.yaml:16: axes.stage[1]", "twice"]),
        (replaced("channels: 32, repeat: 5", "width: 16"), ["x.yaml:16: axes.stage[1]", "move together"]),
        (replaced("repeat: 5", "repeat: 1.5"), ["x.yaml:16: axes.stage[1].repeat", "whole number"]),
        (replaced("variant: E2GC, ch", "variant: E2G, ch"), ["x.yaml:19: skip[0].variant", "did you mean 'E2GC'"]),
        (replaced("channels: 16, because", "chanels: 16, because"), ["x.yaml:19: skip[0].chanels", "'channels'"]),
        (replaced("channels: 16, because", "channels: 64, because"), ["x.yaml:19", "no case has channels=64"]),
        (replaced(", because: too narrow", ""), ["x.yaml:19: skip[0]", "'because' is missing"]),
        (replaced("quick: {batch: [1]}", "quick: {bach: [1]}"), ["x.yaml:20: quick.bach", "did you mean 'batch'"]),
        (replaced("quick: {batch: [1]}", "quick: {channels: [64]}"), ["x.yaml:20", "no entry has channels=64"]),
        (replaced("quick: {batch: [1]}", "quick: {stage: [64]}"), ["x.yaml:20", "several fields", "channels"]),
        (replaced("precision: 1%", "precision: high"), ["x.yaml:21: method.precision", "'high'"]),
        (replaced("windows: 6", "windows: 4"), ["x.yaml:21: method.windows"]),
        (replaced("500ms", "fast"), ["x.yaml:21: method.window_s", "'fast'"]),
        (replaced("analytic: group_size", "analytic: group"), ["x.yaml:22: analytic", "'group_size'", "'group'"]),
        (replaced("name: study", "name: ../study"), ["x.yaml:1: name", "'../study'"]),
        (replaced("    pair: FgGC", "    layout: nchw"), ["x.yaml:11: variants.E2GC.layout", "'channels_last'"]),
        (replaced("input: [", "inputs: ["), ["x.yaml:12: inputs[0]", "mapping"]),
        (GOOD.replace("input: [$batch, $channels, 8, 8]\n", ""), ["either `input` or `inputs`"]),
        (replaced("baseline: FgGC\n", ""), ["'baseline' is missing"]),
    ],
)
def test_a_mistake_is_told_with_its_line_field_and_value(text, words):
    message = complaint(text)
    assert message.startswith("suites/x.yaml:")
    for word in words:
        assert word in message


def test_a_duplicate_key_is_refused_with_both_lines():
    message = complaint(GOOD + "name: again\n")
    assert message.startswith("suites/x.yaml:23")
    assert "'name' is given twice (first on line 1)" in message


def test_a_variant_cannot_set_what_an_axis_sets():
    text = replaced("    pair: FgGC", "    layout: channels_last").replace(
        "batch: [1, 4]", "batch: [1]\n  layout: [contiguous]"
    )
    assert "layout is an axis of this suite" in complaint(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [1", "not valid YAML"),
        ("a: !!python/object/apply:os.system [id]", "a value must be text"),
        ("a: !!python/name:os.system x", "a value must be text"),
        ("? [a]\n: 1", "a key must be text"),
        ("on: 1", "quote it"),
        ("a: 2026-01-01", "quote it"),
        ("base: &b {x: 1}\na:\n  <<: *b", "merge keys"),
        ("- a\n- b", "a suite is a mapping"),
        ("", "this file is empty"),
        ("a: *nothing", "not valid YAML"),
        ("a\x00b: 1", "NUL"),
        ("a: \x07", "not text"),
        ("a: " + "9" * 5000, "not a number"),
        ("a: " + "[" * 2000, "nested deeper"),
        ("a: &a [*a]", "deeper than"),
    ],
)
def test_what_no_suite_needs_is_refused_by_the_reader(text, words):
    assert words in complaint(text)


def test_a_bomb_of_aliases_is_defused():
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12))
    assert "once its aliases are expanded" in complaint("l0: &l0 [1, 2, 3]\n" + levels)


def test_files_that_are_no_suites_are_named(tmp_path):
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\x80\x81\xff")
    large = tmp_path / "l.yaml"
    large.write_bytes(b"#" * 300_000)
    for path, words in (
        (tmp_path, "directory"),
        (tmp_path / "none.yaml", "no such suite file"),
        (binary, "not UTF-8"),
        (large, "larger than 256 KiB"),
    ):
        with pytest.raises(SuiteError, match=words) as raised:
            load_suite(path)
        assert path.name in str(raised.value)


def test_a_file_may_start_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_suite(path).name == "study"


def test_a_misspelt_shipped_name_is_corrected():
    with pytest.raises(SuiteError, match="did you mean 'gconv'"):
        load_suite("gcnv")


def test_the_path_of_a_shipped_suite_outside_a_checkout_names_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError, match="energybench run gconv"):
        load_suite("suites/gconv.yaml")


def test_shipped_suites_load_by_name_and_are_named_like_their_files():
    suites = list_suites()
    assert {"gconv", "gconv_networks"} <= {suite.name for suite in suites}
    assert all(suite.source == f"suites/{suite.name}.yaml" for suite in suites)
    assert load_suite("gconv").about


def test_the_schema_has_the_keys_of_shipped_suites_and_allows_no_others():
    schema = suite_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"name", "baseline", "variants"}
    for suite in list_suites():
        document = yaml.safe_load(suite.text)
        assert set(document) <= set(schema["properties"])
        for variant in document["variants"].values():
            assert set(variant) <= set(schema["$defs"]["Variant"]["properties"])


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.5 %", 0.005), (0.02, 0.02)])
def test_a_precision_is_a_percentage_or_a_fraction(text, value):
    assert parse_precision(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0%", "-1%", "100%", "nan", "1 percent", True])
def test_a_precision_that_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match="precision"):
        parse_precision(text)


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("20min", 1200), ("1.5h", 5400), ("2 s", 2), (3, 3), ("1e-3", 1e-3)]
)
def test_a_duration_is_seconds_or_carries_its_unit(text, value):
    assert parse_duration_s(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0s", "-1s", "s", "1 day", "inf", "", True])
def test_a_duration_that_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration_s(text)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_the_reader_fail_in_another_way(text):
    with pytest.raises(SuiteError):
        parse_suite(text)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(list("{}[]:,-&*!|>'\"%@`$#\n\t 0az")))
@settings(max_examples=300, deadline=None)
def test_no_single_character_makes_the_reader_fail_in_another_way(position, character):
    with contextlib.suppress(SuiteError):
        parse_suite(GOOD[:position] + character + GOOD[position + 1 :])


def test_suites_need_no_torch():
    code = "import sys, energybench.suite as s; s.expand(s.load_suite('gconv')); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_skip_may_name_a_value_that_only_the_quick_look_has():
    text = replaced("skip:\n", "skip:\n  - {variant: E2GC, batch: 2, because: quick}\n").replace("[1]}", "[1, 2]}")
    _, skipped = expand(parse_suite(text, "x.yaml"), quick=True)
    assert ("E2GC | channels=16 batch=2", "quick") in {(skip.case_id, skip.because) for skip in skipped}
    assert "no case has batch=3" in complaint(text.replace("batch: 2,", "batch: 3,"))


def test_a_precision_above_one_is_taken_for_forgotten_percent():
    with pytest.raises(ValueError, match=r"'5' means 500 %: write 5% or 0.05"):
        parse_precision("5")
