"""A stranger's suite runs no code, a stranger's names stay inert, a stranger's run folder is data."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import unicodedata
import zlib
from html.parser import HTMLParser
from xml.etree import ElementTree

import pandas as pd
import pytest
from quiet import measured

from energybench.analysis.summary import summarize
from energybench.errors import EnergyBenchError, RunFolderError, SuiteError
from energybench.journal import OPERATORS_FILE, READINGS_FILE, RUN_FILE, WINDOWS_FILE, load
from energybench.report.build import build_report
from energybench.report.results_csv import write_csv
from energybench.report.terminal import render_summary
from energybench.resolve import check_arguments, resolve_layer
from energybench.suite import parse_suite
from energybench.suite.cases import expand
from energybench.workload import plan_workload

LAYERS = [
    *("os:system", "torch:load", "torch.hub:load", "torch.hub:load_state_dict_from_url", "builtins:eval"),
    *("builtins:__import__", "subprocess:Popen", "importlib:import_module", "pickle:loads", "torch.jit:load"),
    *(
        "torch.nn:Module",
        "torch.nn:Sequential",
        "torch.nn:modules",
        "torch.nn:__builtins__",
        "torch.nn:Conv2d.__init__",
    ),
    *("torch.nn:Conv2d.forward.__globals__", "torch.nn.modules.conv:Conv2d", "torch.nn.modules.module:Module"),
    *("torch.nn.utils:parametrize", "torch.nn:functional", "torch.nn:Conv2d:os", "torch.nn: Conv2d", ":system", "os:"),
    *("energybench.resolve:resolve_layer", "energybench.layers.group_conv:GroupConv2d", "__main__:x", "evil:Layer"),
    *("./evil.py:Layer", "/tmp/evil.py:Layer", "../evil:Layer", "evil.py", "timm:create_model", "GroupConv2d.__init__"),
    *("torch.nn:\uff23onv2d", "\u200bGroupConv2d", "Gr\u043eupConv2d", "", "__class__", "torch.ops:load_library"),
]


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer])
def test_a_suite_alone_names_nothing_but_what_is_listed(layer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\nclass Layer: pass\n")
    text = json.dumps({"name": "a", "baseline": "v", "variants": {"v": {"layer": layer}}, "input": [1]})
    with pytest.raises(SuiteError):
        plan_workload(expand(parse_suite(text))[0][0])
    with pytest.raises(SuiteError):
        resolve_layer(layer)
    assert not (tmp_path / "ran").exists()


def test_a_name_that_has_come_to_mean_something_else_is_refused(monkeypatch):
    """What counts is the object a name leads to, not the name."""
    import torch

    monkeypatch.setattr(torch.nn, "Conv2d", os.system)
    with pytest.raises(SuiteError, match=r"not an nn\.Module class"):
        resolve_layer("torch.nn:Conv2d")


def test_a_plugin_named_by_the_user_lends_a_suite_nothing_it_imported(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text("import os\nfrom os import system\nimport torch\nload = torch.load\nhub = torch.hub.load\n")
    for name in ("system", "os", "load", "hub", "torch", "os.system", "__builtins__", "__loader__"):
        with pytest.raises(SuiteError):
            resolve_layer(f"mine:{name}", [str(plugin)])


@pytest.mark.parametrize(
    "arguments",
    [
        {"pretrained": True},
        {"checkpoint_path": "/tmp/evil.pth"},
        {"pretrained_cfg": {"file": "evil.pth"}},
        {"options": {"url": "x"}},
        {"channels": ["hf-hub:a/b"]},
        {"channels": "https://example.org/x.pth"},
        {"weights": "DEFAULT"},
        {"num_layers": 10**9},
        {"device": "cuda"},
    ],
    ids=str,
)
def test_arguments_that_load_fetch_or_never_end_are_refused(arguments):
    problem = check_arguments(lambda **anything: None, arguments)
    assert problem is not None
    assert problem[0] == next(iter(arguments))


def test_arguments_that_turn_loading_off_pass():
    assert check_arguments(lambda **anything: None, {"pretrained": False, "checkpoint_path": None, "c": [1]}) is None


NAMES = ["=HYPERLINK(1)", "<script>alert(1)</script>", "../../x", "@a 'b' \"c\"", "-1+1", "[red]x[/red]", "$(id)`id`"]
SCARY = "<img src=x onerror=alert(1)>"
HOSTILE = {
    "name": "hostile",
    "about": f"{SCARY} \x1b[31mred\x1b[0m \x07 \u202egnp\n=cmd|' /C calc'!A1",
    "baseline": NAMES[0],
    "variants": {
        name: {
            "layer": "GroupConv2d",
            "args": {"channels": 8, "groups": 2**n if n < 4 else 1, "kernel_size": 1 + 2 * (n // 4)},
        }
        for n, name in enumerate(NAMES)
    },
    "input": ["$batch", 8, 8, 8],
    "axes": {
        "network": ["../../etc/passwd", "=1+1<b>", "&amp;\"'"],
        "batch": [2],
    },
    "skip": [{"variant": NAMES[1], "network": "=1+1<b>", "because": f"{SCARY}\x1b[2J\n+cmd"}],
    "method": {"windows": 6, "window_s": 1, "precision": 0.9},
}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A run with hostile names, its report built; the folder and its summary."""
    folder, _ = measured(tmp_path_factory.mktemp("hostile"), text=json.dumps(HOSTILE))
    return folder, build_report(folder)


def test_names_that_would_act_on_a_terminal_or_split_ids_are_refused_in_suites():
    for name in ("\x1b[31mred", "a\nb", "\u202eabc", "a|b", "x" * 61, " a", "\x9b1m"):
        text = json.dumps(HOSTILE | {"variants": {name: {"layer": "GroupConv2d"}}, "baseline": name, "skip": []})
        with pytest.raises(SuiteError) as raised:
            parse_suite(text)
        assert all(line.isprintable() for line in str(raised.value).splitlines())


def test_hostile_names_stay_inert_in_files(reported):
    folder, _ = reported
    inside = [path.relative_to(folder) for path in folder.rglob("*")]
    assert all(len(path.parts) == 1 or path.parts[0] == "figures" for path in inside)
    for path in inside:
        assert all(c.isascii() and (c.isalnum() or c in "-_.") for c in path.name)
    assert {"run.json", "windows.jsonl", "results.csv", "report.html"} <= {path.name for path in inside}
    assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name]


def test_hostile_names_stay_inert_in_the_terminal(reported):
    _, summary = reported
    for width, color in ((80, False), (120, True)):
        text = render_summary(summary, width=width, color=color)
        for line in text.splitlines():
            plain = line
            for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[1;31m"):
                plain = plain.replace(code, "") if color else plain
            assert plain.isprintable(), repr(line)
    assert "[red]x[/red]" in text


class _Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_hostile_names_are_text_on_the_page_and_in_the_figures(reported):
    folder, _ = reported
    page = (folder / "report.html").read_text()
    elements = _Elements()
    elements.feed(page)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 1
    assert not {"img", "iframe", "object", "embed", "base"} & set(tags)
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "action"):
            assert not (attributes.get(name) or "").lower().startswith(("javascript:", "http", "//")), attributes
    assert "&lt;script&gt;alert(1)" in page
    assert not {c for c in page if unicodedata.category(c)[0] == "C"} - {"\n"}
    for figure in (folder / "figures").glob("*.svg"):
        names = {element.tag.rpartition("}")[2] for element in ElementTree.parse(figure).iter()}
        assert not {"script", "img", "foreignObject", "image"} & names, figure


def test_hostile_names_are_no_formulas_in_the_csv(reported):
    folder, summary = reported
    frame = pd.read_csv(folder / "results.csv")
    assert len(frame) == len(summary.results)
    for name in frame.columns:
        for value in frame[name].dropna():
            if isinstance(value, str):
                assert not value.startswith(("=", "+", "-", "@", "\t", "\r")), (name, value)
                assert value.isprintable()
    assert "'=HYPERLINK(1)" in set(frame["variant"])


def test_the_csv_defuses_every_start_of_a_formula(tmp_path):
    cells = ["=1", " =1", "\t=1", "+1", "-1", "@x", "\uff1d1", "a\nb", "\x1b[0m", "plain", 'q"uote', "a,b"]
    write_csv(pd.DataFrame({"text": cells, "number": range(len(cells))}), tmp_path / "x.csv")
    read = pd.read_csv(tmp_path / "x.csv")["text"].tolist()
    assert read[:7] == ["'=1", "' =1", "'\\x09=1", "'+1", "'-1", "'@x", "'\uff1d1"]
    assert read[7:] == ["a\\x0ab", "\\x1b[0m", "plain", 'q"uote', "a,b"]


def test_a_report_does_not_follow_links_out_of_the_folder(reported, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "cat.png").write_text("cat")
    for name in ("results.csv", "results.csv.draft", "report.html", READINGS_FILE, RUN_FILE, "figures", "anything"):
        folder = tmp_path / "copy"
        shutil.copytree(reported[0], folder)
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(tmp_path / "pictures" if name == "figures" else precious)
        with pytest.raises(RunFolderError, match="is a link"):
            build_report(folder)
        assert precious.read_text() == "mine"
        assert (tmp_path / "pictures" / "cat.png").exists()
        shutil.rmtree(folder)
    (tmp_path / "x.csv.draft").symlink_to(precious)
    write_csv(pd.DataFrame({"a": [1]}), tmp_path / "x.csv")
    assert precious.read_text() == "mine"


def test_a_pipe_in_place_of_a_file_is_not_waited_for(reported, tmp_path):
    for name in (RUN_FILE, WINDOWS_FILE, READINGS_FILE):
        folder = tmp_path / name
        shutil.copytree(reported[0], folder)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(RunFolderError, match="not a plain file"):
            [run.readings(window) for run in [load(folder)] for window in run.windows]


def bombed(folder, rows, member):
    """Let the first window's readings be ``member``, said to be so many rows, with a checksum that fits."""
    lines = (folder / WINDOWS_FILE).read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if '"readings"' in line)
    window = json.loads(lines[at])
    window["readings"] = {"offset": 0, "length": len(member), "crc32": zlib.crc32(member), "rows": rows}
    lines[at] = json.dumps(window)
    (folder / WINDOWS_FILE).write_text("\n".join(lines) + "\n")
    (folder / READINGS_FILE).write_bytes(member)
    return load(folder), at


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (10, b"0" * 200_000_000),
        (10**12, b"1.0,power_w,1.0,,0.0\n"),
        (1, b"1.0,power_w,1.0,,0.0\n" * 2),
        (1, b"x,power_w,1.0,,0.0\n"),
        (1, b"nan,power_w,1.0,,0.0\n"),
        (1, b"1.0,power_w,1.0\n"),
        (1, b"\xff\xfe\n"),
        (2, b"2.0,power_w,1.0,,0.0\n1.0,power_w,1.0,,0.0\n"),
    ],
    ids=["bomb", "rows", "more", "text", "nan", "columns", "bytes", "order"],
)
def test_readings_that_are_not_what_was_recorded_are_refused(reported, tmp_path, rows, text):
    folder = tmp_path / "copy"
    shutil.copytree(reported[0], folder)
    run, at = bombed(folder, rows, gzip.compress(text))
    with pytest.raises(RunFolderError, match="damaged"):
        run.readings(run.windows[at])


def edited(folder, file, edit):
    lines = (folder / file).read_text().split("\n") if file.endswith("jsonl") else [(folder / file).read_text()]
    data = json.loads(lines[0])
    edit(data)
    (folder / file).write_text("\n".join([json.dumps(data), *lines[1:]]))


RUN_EDITS = {
    "cases are text": lambda d: d.update(cases="x"),
    "a count is negative": lambda d: d["cases"][0].update(macs=-1),
    "a count is huge": lambda d: d["cases"][0].update(macs=10**400),
    "a batch is zero": lambda d: d["cases"][0].update(batch=0),
    "not a number": lambda d: d["plan"].update(precision=float("nan")),
    "infinite": lambda d: d["cases"][0].update(args={"a": [float("inf")]}),
    "a plan of text": lambda d: d["plan"].update(windows="many"),
    "deep": lambda d: d["device"].update(x=json.loads("[" * 500 + "]" * 500)),
    "kinds are a number": lambda d: d["meter"].update(kinds=7),
    "a field is a column": lambda d: d["cases"][0]["point"].update(power_w="x"),
    "a field is a path": lambda d: d["cases"][0]["point"].update({"../x": 1}),
    "two cases of one id": lambda d: d["cases"].append(d["cases"][0]),
    "modelled by halves": lambda d: d.update(modelled={"w": {"latency_s": 1.0}}),
    "a sensor of text": lambda d: d.update(sensor={"streams": "x"}),
    "a machine of text": lambda d: d.update(machine={"name": []}),
    "a newer schema": lambda d: d.update(schema_version=10**6),
}


@pytest.mark.parametrize("what", RUN_EDITS)
def test_a_record_with_wrong_types_or_numbers_is_one_error(reported, tmp_path, what):
    folder = tmp_path / "copy"
    shutil.copytree(reported[0], folder)
    edited(folder, RUN_FILE, RUN_EDITS[what])
    with pytest.raises(EnergyBenchError) as raised:
        summarize(load(folder))
    assert len(str(raised.value)) < 1000


def replaced_somewhere(chance, value, other):
    """``value`` with one random leaf or branch replaced."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        return value | {key: replaced_somewhere(chance, value[key], other)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], replaced_somewhere(chance, value[at], other), *value[at + 1 :]]
    return other


OTHERS = (
    None,
    "",
    "x",
    -1,
    0,
    10**30,
    1e308,
    -1.5,
    True,
    [],
    {},
    [None],
    {"a": 1},
    "../../x",
    "<b>",
    "\x1b[2J",
    [[1, 2]],
)


@pytest.mark.parametrize("file", [RUN_FILE, WINDOWS_FILE, OPERATORS_FILE])
def test_a_folder_changed_at_random_is_summarised_or_one_error(reported, tmp_path, file):
    folder = tmp_path / "copy"
    shutil.copytree(reported[0], folder)
    text = (folder / file).read_text()
    refused = 0
    for seed in range(120):
        chance = random.Random(seed)
        lines = text.split("\n") if file.endswith("jsonl") else [text]
        at = chance.randrange(max(len(lines) - 1, 1))
        lines[at] = json.dumps(replaced_somewhere(chance, json.loads(lines[at]), chance.choice(OTHERS)))
        (folder / file).write_text("\n".join(lines))
        try:
            summary = summarize(load(folder))
            text_shown = render_summary(summary)
            assert all(line.isprintable() for line in text_shown.splitlines())
        except EnergyBenchError:
            refused += 1
    assert 0 < refused < 120
