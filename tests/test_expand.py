"""Cases: variants times points, with stable names, references put in, skips reasoned."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from energybench.errors import SuiteError
from energybench.suite import TensorSpec, expand, load_suite, parse_setting, parse_suite

TEXT = """\
name: study
baseline: a
variants:
  a: {layer: GroupConv2d, args: {channels: $channels, groups: 4}}
  b:
    layer: GroupConv2d
    args: {channels: $channels, groups: 2, options: [{deep: $channels}]}
    pair: a
    layout: channels_last
    cache: hot
    compile: true
    equivalent: true
    accuracy: {top1: 71.8, source: ours}
input: [$batch, $channels, 8, 8]
axes:
  stage:
    - {network: x, channels: 16}
    - {network: y, channels: 32, repeat: 5}
  batch: [1, 4]
  dtype: [float16, float32]
skip: [{variant: b, channels: 32, batch: 4, because: too large}]
quick: {channels: [32], dtype: [float32]}
"""


def ids(cases) -> list[str]:
    return [case.id for case in cases]


def test_a_case_carries_what_the_suite_says_at_its_point():
    cases, _ = expand(parse_suite(TEXT, "x.yaml"))
    case = next(c for c in cases if c.id == "b | network=y channels=32 batch=1 dtype=float16")
    assert case.args == {"channels": 32, "groups": 2, "options": [{"deep": 32}]}
    assert case.inputs == (TensorSpec((1, 32, 8, 8)),)
    assert case.point == {"network": "y", "channels": 32, "batch": 1, "dtype": "float16"}
    assert case.comparison == "network=y channels=32 batch=1 dtype=float16"
    assert (case.batch, case.dtype, case.repeat, case.pair, case.baseline) == (1, "float16", 5, "a", "a")
    assert (case.layout, case.mode, case.cache) == ("channels_last", "inference", "hot")
    assert (case.compile, case.equivalent) == (True, True)
    assert case.accuracy is not None
    assert (case.accuracy.top1, case.accuracy.source) == (71.8, "ours")
    assert case.lines == {"": 5, "channels": 7, "groups": 7, "options": 7}


def test_every_variant_meets_every_point_and_skips_say_why():
    cases, skipped = expand(parse_suite(TEXT))
    assert len(cases) + len(skipped) == 2 * 2 * 2 * 2
    assert [(s.case_id, s.because) for s in skipped] == [
        ("b | network=y channels=32 batch=4 dtype=float16", "too large"),
        ("b | network=y channels=32 batch=4 dtype=float32", "too large"),
    ]
    assert len(set(ids(cases))) == len(cases)


def test_variants_of_one_comparison_stand_together():
    cases, _ = expand(parse_suite(TEXT))
    comparisons = [case.comparison for case in cases]
    assert sum(a != b for a, b in itertools.pairwise(comparisons)) + 1 == len(set(comparisons))


def test_quick_keeps_what_it_lists_and_the_first_value_of_other_axes():
    cases, _ = expand(parse_suite(TEXT), quick=True)
    assert ids(cases) == [f"{v} | network=y channels=32 batch=1 dtype=float32" for v in "ab"]


def test_a_setting_replaces_a_plain_axis_and_filters_one_whose_fields_move_together():
    cases, _ = expand(parse_suite(TEXT), settings={"batch": [2], "network": ["x"], "dtype": ["bfloat16"]})
    assert ids(cases) == [f"{v} | network=x channels=16 batch=2 dtype=bfloat16" for v in "ab"]


def test_a_setting_wins_over_quick():
    cases, _ = expand(parse_suite(TEXT), quick=True, settings={"channels": [16]})
    assert ids(cases) == [f"{v} | network=x channels=16 batch=1 dtype=float32" for v in "ab"]


def test_a_reserved_option_that_is_no_axis_can_be_set():
    cases, _ = expand(parse_suite(TEXT), quick=True, settings={"mode": ["training"]})
    assert {case.mode for case in cases} == {"training"}
    assert all(case.id.endswith("mode=training") for case in cases)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bacth": [1]}, "did you mean 'batch'"),
        ({"channels": [48]}, "there are 16, 32"),
        ({"network": ["x"], "channels": [32]}, "no entry of this axis remains"),
        ({"dtype": ["float12"]}, "did you mean"),
        ({"batch": [True]}, "whole number from 1"),
        ({"repeat": [0]}, "says how often a stage counts in totals"),
    ],
)
def test_a_setting_that_cannot_be_met_is_refused(settings, words):
    with pytest.raises(SuiteError, match=words) as raised:
        expand(parse_suite(TEXT), settings=settings)
    assert str(raised.value).startswith("--set")


def test_a_setting_is_read_as_yaml_would():
    assert parse_setting("batch=1,8") == ("batch", [1, 8])
    assert parse_setting("dtype=float16") == ("dtype", ["float16"])


@pytest.mark.parametrize("text", ["batch", "=1", "batch=", "batch=[", "batch={a: 1}"])
def test_a_setting_that_is_none_is_refused(text):
    with pytest.raises(SuiteError, match="AXIS=VALUE"):
        parse_setting(text)


def test_only_keeps_what_matches_and_the_baseline_beside_it():
    cases, _ = expand(parse_suite(TEXT), only=["B | *channels=16 batch=4*"])
    assert ids(cases) == [
        f"{v} | network=x channels=16 batch=4 dtype={d}" for d in ("float16", "float32") for v in "ab"
    ]


def test_only_that_matches_nothing_is_refused():
    with pytest.raises(SuiteError, match="no variant or case matches 'E2GC'"):
        expand(parse_suite(TEXT), only=["E2GC"])


def test_too_many_cases_are_refused_before_they_are_made():
    values = list(range(1, 2000))
    axes = f"{{a: {values}, b: {values}}}"
    text = f"{{name: a, baseline: v, variants: {{v: {{layer: GroupConv2d}}}}, input: [1], axes: {axes}}}"
    with pytest.raises(SuiteError, match="3996001 cases"):
        expand(parse_suite(text))


def test_without_a_batch_axis_the_batch_is_the_first_side_of_the_first_input():
    text = "{name: a, baseline: v, variants: {v: {layer: X}}, inputs: [{shape: [7, 3], integers: 100}, [2]]}"
    case = expand(parse_suite(text))[0][0]
    assert (case.id, case.comparison, case.batch, case.dtype) == ("v", "", 7, "float32")
    assert case.inputs == (TensorSpec((7, 3), 100), TensorSpec((2,)))


def test_layers_rotate_and_networks_are_hot_unless_told():
    text = "{name: a, baseline: v, variants: {v: {layer: $layer_name}}, input: [1], axes: {layer_name: [%s]%s}}"
    names = "GroupConv2d, MobileNetV1, ResNeXt50"
    assert [case.cache for case in expand(parse_suite(text % (names, "")))[0]] == ["rotated", "hot", "hot"]
    cases, _ = expand(parse_suite(text % ("MobileNetV1", ", cache: [rotated]")))
    assert [case.cache for case in cases] == ["rotated"]


@pytest.mark.parametrize(
    ("values", "words"),
    [("[2.5]", "stands for 2.5"), ("[-1]", "stands for -1"), ("[a]", "stands for 'a'"), ("[9999999999]", "stands for")],
)
def test_a_side_of_an_input_must_be_a_positive_whole_number(values, words):
    text = f"{{name: a, baseline: v, variants: {{v: {{layer: X}}}}, input: [1, $side], axes: {{side: {values}}}}}"
    with pytest.raises(SuiteError, match=words):
        expand(parse_suite(text))


def test_values_that_read_alike_cannot_make_two_cases_of_one_name():
    text = "{name: a, baseline: v, variants: {v: {layer: X}}, input: [1], axes: {side: ['1', 1]}}"
    with pytest.raises(SuiteError, match=r"two cases would both be called 'v \| side=1'"):
        expand(parse_suite(text))


def test_a_case_is_plain_data():
    case = expand(load_suite("gconv"), quick=True)[0][0]
    json.dumps(dataclasses.asdict(case))


def test_gconv_comes_to_nine_variants_at_thirteen_stages_in_four_ways():
    cases, skipped = expand(load_suite("gconv"))
    assert (len(cases), skipped) == (9 * 13 * 2 * 2, [])
    by_network = {c.point["network"]: 0 for c in cases}
    for case in cases:
        if case.variant == "dense" and case.batch == 1 and case.dtype == "float16":
            by_network[case.point["network"]] += case.repeat
    assert by_network == {"mobilenet_v1": 13, "resnext50": 16}  # e2gc.md sections 5.1 and 5.2
