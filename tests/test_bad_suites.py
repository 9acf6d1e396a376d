"""Whatever a suite file holds: cases, or one error with a line; quickly, and in little memory."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.errors import SuiteError
from energybench.suite import list_suites, load_suite, parse_suite
from energybench.suite.cases import expand
from energybench.workload import plan_workload

MUTATED = 600
SNIPPETS = (
    *("{", "}", "[", "]", ": ", "- ", "? ", "&a ", "*a ", "<<: ", "|", "~", "\n", "  ", "\t", "#", "'", '"', "---\n"),
    *("$", "$channels", "$repeat", "null", "true", "-1", "0", ".nan", ".inf", "1.0e+400", "9" * 30, "0x" + "f" * 40),
    *("1:30:00", "2026-01-01", "!!set {a}", "!!binary aGk=", "!!python/object/apply:os.system ", "%YAML 9", "\ufeff"),
    *(
        "\x1b[31m",
        "\u202e",
        "é",
        "𝕏",
        '"\\ud800"',
        "=cmd()",
        "<script>",
        "../..",
        "repeat",
        "batch",
        "variant",
        "layer",
    ),
)
SUITE = "name: a\nbaseline: v\nvariants: {{v: {{layer: {layer}, args: {args}}}}}\ninput: {input}\n{rest}"


def written(*, layer="GroupConv2d", args="{channels: 8}", input="[1]", rest=""):  # noqa: A002
    return SUITE.format(layer=layer, args=args, input=input, rest=rest)


def numbers(count):
    return "[" + ", ".join(map(str, range(1, count + 1))) + "]"


def complaint(text: str) -> str:
    """What is said of a suite when it is read and expanded; nothing if it can be."""
    try:
        suite = parse_suite(text, "x.yaml")
        expand(suite, max_cases=5000)
        expand(suite, quick=True, max_cases=5000)
    except SuiteError as error:
        return str(error)
    return ""


def mutated(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice([1, 1, 2, 3, 6])):
        text = chance.choice(EDITS)(chance, text) or "a"
    return text


def inserted(chance, text):
    at = chance.randrange(len(text))
    return text[:at] + chance.choice(SNIPPETS) + text[at:]


def deleted(chance, text):
    at = chance.randrange(len(text))
    return text[:at] + text[at + chance.randrange(1, 30) :]


def overwritten(chance, text):
    at = chance.randrange(len(text))
    ranges = [(32, 127), (1, 0x3000), (0x10000, 0x10FFFF)]
    return text[:at] + chr(chance.randrange(*chance.choice(ranges))) + text[at + 1 :]


def line_moved(chance, text):
    lines = text.splitlines(keepends=True)
    line = lines[chance.randrange(len(lines))]
    if chance.random() < 0.5:
        lines.remove(line)
    lines.insert(chance.randrange(len(lines) + 1), " " * chance.randrange(4) + line)
    return "".join(lines)


def word_swapped(chance, text):
    words = list(re.finditer(r"[\w$.=-]+", text))
    if not words:
        return text
    word, other = chance.choice(words), chance.choice(words)
    return text[: word.start()] + chance.choice([*SNIPPETS, other.group()]) + text[word.end() :]


AT_ONCE = 200
"""Times as long as `gconv` takes to become cases, 25 ms here: a file of a megabyte is fifty times as long, and what
these files would do to a careless reader takes minutes."""


@cache
def ordinary_s():
    """The processor's seconds in which this machine makes cases of `gconv`."""

    def once_s():
        begun_s = time.process_time()
        expand(load_suite("gconv"))
        return time.process_time() - begun_s

    return min(once_s() for _ in range(5))


EDITS = (inserted, deleted, overwritten, line_moved, word_swapped)


def test_hundreds_of_mutated_suites_are_cases_or_one_error_with_a_line():
    shipped = [suite.text for suite in list_suites()]
    accepted = 0
    for seed in range(MUTATED):
        chance = random.Random(seed)
        text = mutated(chance, chance.choice(shipped))
        begun_s = time.process_time()
        message = complaint(text)
        assert time.process_time() - begun_s < AT_ONCE * ordinary_s(), seed
        accepted += not message
        assert re.match(r"x\.yaml:\d+|$", message) or "empty" in message, (seed, message)
        assert all(line.isprintable() for line in message.splitlines()), seed
        assert len(message) < 5000, seed
    assert 0.1 * MUTATED < accepted < 0.5 * MUTATED  # the edits neither miss nor always destroy


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["$channels", "$a", "v"]),
)
trees = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
keys = st.sampled_from(
    ["name", "about", "baseline", "variants", "input", "inputs", "axes", "skip", "quick", "method", "analytic"]
)


@given(st.dictionaries(keys, trees, max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_tree_under_the_right_keys_is_a_suite_or_one_error(tree):
    good = {"name": "a", "baseline": "v", "variants": {"v": {"layer": "GroupConv2d"}}, "input": [1]}
    for document in (tree, good | tree):
        assert re.match(r"x\.yaml|$", complaint(json.dumps(document)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (written(rest=f"axes: {{{', '.join(f'a{i}: {numbers(30)}' for i in range(20))}}}"), "cases"),
        (written(rest=f"axes: {{a: {numbers(19_000)}, b: {numbers(900)}}}"), "17100000 cases"),
        (written(rest="axes: {batch: [0x" + "f" * 200_000 + "]}"), "too large a number"),
        (written(rest="axes: {a: [" + ":".join(["59"] * 2000) + "]}"), "too large a number"),
        (written(input="[0b" + "1" * 100_000 + "]"), "too large a number"),
        (written(rest="method: {window_s: '1" + " " * 100_000 + "x'}"), "at most 2000 characters"),
        (written(rest="about: " + "x" * 200_000), "at most 2000 characters"),
        (written(rest='about: "\\ud800"'), "half ones"),
        (written(rest="? " + "k" * 5000 + "\n: 1\n"), "a key has at most 100"),
        (written(rest="axes: {a: [.nan]}"), "not a finite number"),
        (written(args="{channels: .inf}"), "not a finite number"),
        (written(args="{channels: [" + "1, " * 300 + "]}"), "more than 64 values"),
        (written(rest="axes: {a: [" + "null, " * 19_000 + "]}"), "axes.a[0]"),
        (written(rest="".join(f"k{i}: 1\n" for i in range(9000))), "unknown key"),
        (written(rest="axes: {" + ", ".join(f"a{i}: [1]" for i in range(6000)) + "}"), "more than 32 fields"),
        (written(rest="axes: {" + ", ".join(f"a{i}: [{'x' * 99}]" for i in range(9)) + "}"), "name would have"),
        (written(input="[$a]", rest=f"axes: {{b: {numbers(1000)}, a: [{numbers(90)[1:-1]}, 0]}}"), "0; a side"),
        ("a: " + "[" * 100_000, "nested deeper"),
        ("a: [" + "a, " * 80_000 + "]", "more than 20000 values"),
        ("l0: &l0 [1, 2]\n" + "".join(f"l{i}: &l{i} [{f'*l{i - 1}, ' * 9}]\n" for i in range(1, 12)), "aliases"),
        ("a: \x1b[31m", "x.yaml:1: not text"),
        ("a: 1\nb: \x00", "x.yaml:2: the suite file is not text"),
    ],
    ids=lambda value: value[:24].replace("\n", " ") if " " in value else None,
)
def test_what_would_take_long_or_much_is_refused_at_once(text, words):
    begun_s = time.process_time()
    with pytest.raises(SuiteError) as raised:
        expand(parse_suite(text, "x.yaml"))
    assert time.process_time() - begun_s < AT_ONCE * ordinary_s()
    assert words in str(raised.value)
    assert str(raised.value).startswith("x.yaml")
    assert len(str(raised.value)) < 5000


def test_skips_are_found_at_once_however_many_there_are():
    skips = "".join(f"- {{a: {i}, b: 7, because: x}}\n" for i in range(1, 501)) * 4
    begun_s = time.process_time()
    cases, skipped = expand(parse_suite(written(rest=f"axes: {{a: {numbers(500)}, b: {numbers(20)}}}\nskip:\n{skips}")))
    assert (len(cases), len(skipped)) == (9_500, 500)
    assert time.process_time() - begun_s < AT_ONCE * ordinary_s()
    kinds = "".join(f"- {{a{i}: 1, a{i + 1}: 1, because: x}}\n" for i in range(1, 31))
    kinds += "".join(f"- {{a{i}: 1, because: x}}\n" for i in range(1, 31))
    axes = ", ".join(f"a{i}: [1]" for i in range(1, 32))
    with pytest.raises(SuiteError, match="32 combinations"):
        expand(parse_suite(written(rest=f"axes: {{{axes}}}\nskip:\n{kinds}")))


MEMORY = """
import sys
from pathlib import Path
from energybench.errors import SuiteError
from energybench.suite import expand, parse_suite
sizes = (100, 100, 10, 1, 1, 1)
axes = ", ".join(f"a{i}: [{', '.join('x' * 50 + str(j) for j in range(n))}]" for i, n in enumerate(sizes))
layers = "{v: {layer: G, args: {channels: $a0, more: [" + "$a1, " * 60 + "]}}}"
texts = ["a: [" + "a, " * 80_000 + "]",
         "name: a\\nbaseline: v\\nvariants: " + layers + "\\ninput: [1]\\naxes: {" + axes + "}"]
made = []
for text in texts:
    try:
        made.append(len(expand(parse_suite(text))[0]))
    except SuiteError as error:
        made.append(str(error)[:60])
assert made[1] == 100_000, made
# getrusage would count the parent's memory too: its peak is handed on through fork and exec.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024, "torch" in sys.modules)
"""


def test_the_largest_suites_there_can_be_stay_under_half_a_gigabyte():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mebibytes, torch = done.stdout.split()
    assert int(mebibytes) < 500
    assert torch == "False"


ABSURD = [
    ("torch.nn:Conv2d", "{in_channels: 2147483647, out_channels: 2147483647, kernel_size: 2147483647}", "[1, 1, 1, 1]"),
    ("GroupConv2d", "{channels: 4611686018427387904, groups: 1}", "[1, 8, 8, 8]"),
    ("GroupConv2d", "{channels: -8, groups: 1}", "[1, 8, 8, 8]"),
    ("GroupConv2d", "{channels: [8], groups: true}", "[1, 8, 8, 8]"),
    ("GroupConv2d", "{channels: abc, groups: 1}", "[1, 8, 8, 8]"),
    ("torch.nn:Linear", "{in_features: 1000000000, out_features: 1000000000000}", "[1, 1000000000]"),
    ("torch.nn:LSTM", "{input_size: 8, hidden_size: 8, num_layers: 1000000000}", "[1, 1, 8]"),
    ("torch.nn:Flatten", "{start_dim: 99}", "[1, 1, 8]"),
    ("torch.nn:Upsample", "{scale_factor: 1000000000}", "[1, 1, 8, 8]"),
    ("torch.nn:ZeroPad2d", "{padding: 4000000000000}", "[1, 1, 8, 8]"),
    ("torch.nn:AdaptiveAvgPool2d", "{output_size: 4000000000}", "[1, 1, 8, 8]"),
    ("torch.nn:PixelShuffle", "{upscale_factor: 0}", "[1, 8, 8, 8]"),
    ("torch.nn:Conv2d", "{in_channels: {a: 1}, out_channels: 8, kernel_size: 3}", "[1, 8, 8, 8]"),
    ("torch.nn:Embedding", "{num_embeddings: 4, embedding_dim: 4, _weight: [[1]]}", "{shape: [8], integers: 4}"),
]


@pytest.mark.parametrize(("layer", "args", "given_input"), ABSURD, ids=[f"{a} {b[:30]}" for a, b, _ in ABSURD])
def test_absurd_shapes_and_arguments_are_told_by_file_line_and_case(layer, args, given_input):
    (case,), _ = expand(parse_suite(written(layer=layer, args=args, input=given_input), "x.yaml"))
    with pytest.raises(SuiteError) as raised:
        plan_workload(case)
    assert re.match(r"x\.yaml:3: variants\.v.*\(case 'v'\)", str(raised.value))


def test_more_macs_than_a_run_folder_can_count_are_a_mistake_of_the_case():
    # 2^19 rows x 2^20 inputs x 2^24 outputs are 2^63 products, though the input is below 2^40 elements.
    args = "{in_features: 1048576, out_features: 16777216}"
    text = written(layer="torch.nn:Linear", args=args, input="[524288, 1048576]")
    with pytest.raises(SuiteError) as raised:
        plan_workload(expand(parse_suite(text, "x.yaml"))[0][0])
    assert re.match(r"x\.yaml:3: variants\.v.*MACs.*no machine", str(raised.value))


def test_shapes_larger_than_any_memory_are_planned_without_taking_it():
    code = """
import resource
from energybench.suite import expand, parse_suite
from energybench.workload import plan_workload
text = "{name: a, baseline: v, variants: {v: {layer: 'torch.nn:ReLU'}}, input: [65536, 65536, 128]}"
plan_workload(expand(parse_suite(text.replace("65536", "2")))[0][0])  # what a first plan imports is not the shapes'
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
plan = plan_workload(expand(parse_suite(text))[0][0])
assert plan.peak_memory_bytes > 2**40
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20  # mebibytes
