"""Going on with a run: only where nothing changed, what failed stays failed, and what is forced is marked."""

import json

import pytest
from quiet import SMALL, Remembering, measured

from energybench.analysis.summary import summarize
from energybench.errors import RunFolderError
from energybench.journal import load

FRAGILE = """
name: fragile
baseline: works
variants:
  works: {layer: "torch.nn:ReLU"}
  fails: {layer: "fragile_layers:Fragile"}
input: [2, 8]
"""
PLUGIN = """
import pathlib, torch

class Fragile(torch.nn.Module):
    def forward(self, x):
        if x.device.type != "meta" and pathlib.Path(__file__).with_name("broken").exists():
            raise RuntimeError("no kernel for this")
        return x * 2
"""


def interrupted(tmp_path, **options):
    """An unfinished run; returns its folder."""
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, progress=Remembering(interrupt_after=5), **options)
    (folder,) = (tmp_path / "results").iterdir()
    return folder


def altered(folder, **changes):
    """The run as it would be had it begun under other conditions."""
    record = json.loads((folder / "run.json").read_text())
    for name, value in changes.items():
        record[name] = record[name] | value
    (folder / "run.json").write_text(json.dumps(record | {"identity": "another"}))


@pytest.mark.parametrize(
    ("second", "difference"),
    [
        ({"text": SMALL.replace("groups: 1}", "groups: 2}")}, "the suite's text"),
        ({"text": SMALL + "method: {windows: 10}\n"}, "the suite's text"),
        ({"device": "sim:t4"}, "device name 'sim:h200' -> 'sim:t4'"),
    ],
)
def test_a_changed_suite_method_or_device_is_refused_with_the_difference_named(tmp_path, second, difference):
    folder = interrupted(tmp_path)
    before = (folder / "windows.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match=difference) as refused:
        measured(tmp_path, **second)
    assert "--fresh" in refused.value.remedy
    assert "--force-resume" in refused.value.remedy
    assert (folder / "windows.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"versions": {"torch": "1.0"}}, "version of torch '1.0' -> "),
        ({"meter": {"driver": "470.1"}}, "meter driver '470.1' -> None"),
        ({"meter": {"power_limit_w": 350.0}}, "meter power_limit_w 350.0 -> None"),
        ({"sensor": {"name": "calibrated"}}, "what is known of the sensor"),
        ({}, "the source of a plugin"),
    ],
)
def test_changed_conditions_are_refused_by_name(tmp_path, change, difference):
    altered(interrupted(tmp_path), **change)
    with pytest.raises(RunFolderError, match=difference):
        measured(tmp_path)


def test_a_forced_resumption_goes_on_and_every_row_says_so(tmp_path):
    folder = interrupted(tmp_path)
    before = load(folder)
    wider = SMALL.replace("input:", "  narrow: {layer: GroupConv2d, args: {channels: $channels, groups: 2}}\ninput:", 1)
    again, _ = measured(tmp_path, text=wider, force_resume=True)
    assert again == folder
    run = load(folder)
    assert run.record.complete
    assert run.record.forced == ["the suite's text"]
    assert run.record.sessions == 2
    assert run.windows[: len(before.windows)] == before.windows
    rows = summarize(run).cases
    assert set(rows["status"]) == {"ok"}
    assert set(rows["variant"]) == {"FgGC g=8", "E2GC G=8", "dense", "narrow"}
    assert all("forced-resume" in flags.split() for flags in rows["flags"])


def test_forcing_where_nothing_changed_marks_nothing(tmp_path):
    interrupted(tmp_path)
    folder, _ = measured(tmp_path, force_resume=True)
    assert load(folder).record.forced == []
    assert not summarize(load(folder)).cases["flags"].str.contains("forced").any()


def test_another_command_begins_a_run_of_its_own(tmp_path):
    first = interrupted(tmp_path, command=("energybench", "run", "small", "--device", "sim:h200"))
    words = ("energybench", "run", "small", "--device", "sim:t4")
    second, _ = measured(tmp_path, device="sim:t4", command=words)
    assert second != first
    again, _ = measured(tmp_path, command=("energybench", "run", "small", "--device", "sim:h200", "--quiet"))
    assert again == first


def test_what_failed_is_kept_and_retried_only_when_asked(tmp_path):
    plugin = tmp_path / "fragile_layers.py"
    plugin.write_text(PLUGIN)
    (tmp_path / "broken").touch()
    options = {"text": FRAGILE, "device": "cpu", "meter": "none", "quick": True, "plugins": (str(plugin),)}
    folder = interrupted_after_failing(tmp_path, options)
    (tmp_path / "broken").unlink()

    again, _ = measured(tmp_path, **options)
    assert again == folder
    assert status_of(folder) == {"works": "ok", "fails": "failed"}
    assert load(folder).record.complete

    retried, _ = measured(tmp_path, **options, retry_failed=True)
    assert retried == folder
    assert status_of(folder) == {"works": "ok", "fails": "ok"}
    assert load(folder).record.sessions == 3


def interrupted_after_failing(tmp_path, options):
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, **options, progress=Remembering(interrupt_after=2))
    (folder,) = (tmp_path / "results").iterdir()
    assert [w.error for w in load(folder).windows if w.kind == "failed"] == ["RuntimeError: no kernel for this"]
    return folder


def status_of(folder):
    rows = summarize(load(folder)).cases
    return dict(zip(rows["variant"], rows["status"], strict=True))


def test_an_output_that_holds_a_finished_run_is_left_alone_and_the_words_fit(tmp_path):
    output = tmp_path / "out"
    measured(tmp_path, output=output, quick=True)
    before = (output / "windows.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match="it is complete") as refused:
        measured(tmp_path, output=output, quick=True)
    assert "energybench report" in refused.value.remedy
    with pytest.raises(RunFolderError, match="--fresh never writes over one"):
        measured(tmp_path, output=output, quick=True, fresh=True)
    assert (output / "windows.jsonl").read_bytes() == before


def test_windows_without_their_meter_stay_for_latency_and_are_measured_again(tmp_path):
    folder = interrupted(tmp_path)
    lines = [json.loads(line) for line in (folder / "windows.jsonl").read_text().splitlines()]
    lost = [line for line in lines if line["kind"] == "window"]
    for line in lost:
        line["flags"] = [*line.get("flags", []), "meter-lost"]
        del line["readings"]
    (folder / "windows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    again, study = measured(tmp_path)
    assert again == folder
    run = load(folder)
    whole = [w for w in run.windows if w.kind == "window" and "meter-lost" not in w.flags and not w.repeat]
    assert len([w for w in run.windows if "meter-lost" in w.flags]) == len(lost) > 0
    assert len(whole) >= study.works * study.plan.windows
    assert summarize(run).cases["energy_per_inference_j"].notna().all()
