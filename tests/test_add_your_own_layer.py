"""What the page on one's own layers tells people to write and type works, in a folder of its own."""

import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from energybench.analysis.summary import summarize
from energybench.cli import main
from energybench.journal import load

PAGE = (Path(__file__).parents[1] / "docs" / "add_your_own_layer.md").read_text(encoding="utf-8")
FILES = re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def typed(words, folder):
    """Type one command in a folder; in this process, because torch and matplotlib take seconds to import."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(main, words[1:])
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the page's files, in which its commands were typed."""
    folder = tmp_path_factory.mktemp("mine")
    for name, text in FILES:
        (folder / name).write_text(text, encoding="utf-8")
    for words in COMMANDS:
        done = typed(words, folder)
        assert done.exit_code == 0, (words, done.output)
    return folder


def test_the_page_has_two_files_for_a_layer_and_commands_for_them():
    assert [name for name, _ in FILES][:2] == ["my_layers.py", "my_suite.yaml"]
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("run", ["sim", "cpu", "kernel"])
def test_every_run_of_the_page_ends_in_a_report_with_every_case_measured(folder, run):
    assert (folder / run / "report.html").stat().st_size > 50_000
    assert (summarize(load(folder / run)).cases["status"] == "ok").all()


def test_the_layer_is_counted_as_the_page_says(folder):
    cases = summarize(load(folder / "sim")).cases.set_index(["variant", "channels", "batch"])
    dense = 128 * 128 * 28 * 28
    assert cases.loc[("dense", 128, 1), "macs"] == dense
    assert cases.loc[("shuffled g=4", 128, 1), "macs"] == dense // 4
    assert cases.loc[("shuffled g=8", 256, 32), "macs"] == 32 * 256 * 256 * 14 * 14 // 8


def test_a_custom_kernel_is_known_by_the_cost_it_registers(folder):
    (operator,) = [o for o in load(folder / "kernel").operators if o.name == "scaled_add"]
    assert operator.known
    assert operator.read_bytes == 2 * operator.write_bytes == 2 * 64 * 28 * 28 * 4


def test_without_the_plugin_the_suite_is_refused_and_the_message_says_what_to_type(folder):
    done = typed(["energybench", "run", "my_suite.yaml", "--device", "sim:h200", "--output", "refused"], folder)
    assert done.exit_code == 2
    assert "--plugin my_layers.py" in " ".join(done.stderr.split())
    assert not (folder / "refused").exists()


def test_a_layer_that_changed_is_another_run(folder):
    changed = (folder / "my_layers.py").read_text(encoding="utf-8").replace("bias=False", "bias=True")
    (folder / "my_layers.py").write_text(changed, encoding="utf-8")
    done = typed(COMMANDS[1], folder)
    assert done.exit_code == 2
    assert "these changed: the source of a plugin" in " ".join(done.stderr.split())
