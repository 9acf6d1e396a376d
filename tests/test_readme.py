"""What the README tells people to type exists and works."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from quiet import SMALL, measured

from energybench.cli import main
from energybench.suite import parse_suite

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(text, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands():
    for block in code_blocks(README):
        for line in block.splitlines():
            for command in line.split("#")[0].split(";"):
                if command.strip().startswith("energybench "):
                    yield shlex.split(command)[1:]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_of_the_readme_is_understood(words):
    group, name = main, words[0]
    while isinstance(command := group.get_command(click.Context(group), name), click.Group) and len(words) > 1:
        group, words = command, words[1:]
        name = words[0]
    assert command is not None, name
    command.make_context(name, list(words[1:]))


def masked(text):
    """Lines without what another version of a simulator may change: their numbers, and the space around them."""
    return [" ".join(re.sub(r"[\d.]+", "#", line).replace("*", "").split()) for line in text.splitlines()]


def test_the_ten_minutes_show_what_is_typed_and_what_comes_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    story = README[README.index("## Ten minutes") : README.index("## Install")]
    command, shown, _ = code_blocks(story)
    done = CliRunner().invoke(main, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    printed = masked(done.stdout)
    assert [line for line in masked(shown) if line not in printed] == []
    for name in re.findall(r"`(results/first/[\w.]+)`", story):
        assert Path(name).exists(), name
    page = Path("results/first/report.html").read_text(encoding="utf-8")
    parts = (
        "answer",
        "pairs",
        "results",
        "variants",
        "gap-latency-mobilenet_v1",
        "group-size-mobilenet_v1",
        "roofline",
    )
    order = [page.index(f'id="{part}"') for part in (*parts, "method", "environment", "reproduce")]
    assert order == sorted(order), "the story tells the page from top to bottom"


@pytest.mark.parametrize(("device", "called"), [("sim:h200", "gconv-sim-h200-"), ("cpu", "gconv-cpu-")])
def test_run_folders_are_called_what_the_readme_calls_them(tmp_path, device, called):
    text = SMALL.replace("name: small", "name: gconv")
    folder, _ = measured(tmp_path, text, device, quick=True, budget_s=2.0)
    assert f"`{called}...`" in README
    assert re.fullmatch(rf"{called}\d{{8}}T\d{{6}}Z", folder.name)


def test_the_two_first_commands_are_targets_that_ci_runs():
    first = code_blocks(README)[0]
    makefile = (ROOT / "Makefile").read_text()
    for target in ("run", "test"):
        assert f"make {target}" in first
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_suite_of_the_readme_is_a_suite():
    (text,) = code_blocks(README, "yaml")
    suite = parse_suite(text, "README.md")
    assert suite.baseline in suite.variants


def test_pictures_of_the_readme_are_there():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).stat().st_size > 10_000
