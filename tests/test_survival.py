"""One case never ends the run: it raises, hangs, dies, returns NaN or another shape, and the next one is unaffected."""

import os
import signal
import subprocess
import sys

import pytest
from quiet import SMALL, Remembering, measured

from energybench.analysis.summary import summarize
from energybench.devices.open import open_meter_for
from energybench.devices.simulated import SimulatedDevice
from energybench.errors import CaseError, DeviceLostError
from energybench.journal import load
from energybench.session import RunOptions, Station, open_station, plan_study, run_study
from energybench.suite import parse_suite

PLUGIN = """
import os, pathlib, signal, time, torch

BACK = pathlib.Path(__file__).with_name("back")

class Layer(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.device.type == "meta" else self.really(x)

class Works(Layer):
    def really(self, x):
        return x * 2

class Nans(Layer):
    def really(self, x):
        return x * float("nan")

class NansLater(Layer):
    calls = 0
    def really(self, x):
        self.calls += 1
        return x * (float("nan") if self.calls > 2 else 2.0)

class Shrinks(Layer):
    def really(self, x):
        return x[:, :4] * 2

class TooLarge(Layer):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(2**50)) if not torch.empty(0).is_meta else None

class Hangs(Layer):
    def really(self, x):
        while not BACK.exists():
            time.sleep(0.01)
        raise RuntimeError("let go")

class Crashes(Layer):
    def really(self, x):
        os.kill(os.getpid(), signal.SIGSEGV)
"""


def suite(*layers, first="Works"):
    names = [first, *layers]
    variants = "".join(f'  {name}: {{layer: "odd_layers:{name}"}}\n' for name in names)
    return f"name: odd\nbaseline: {first}\nvariants:\n{variants}input: [2, 8]\n"


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "odd_layers.py"
    path.write_text(PLUGIN)
    return path


def rows_of(folder):
    return summarize(load(folder)).cases.set_index("variant")


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("Nans", "its output holds NaN"),
        ("NansLater", "its output holds NaN"),
        ("Shrinks", "its output has the shape [2, 4]; planned by shape alone it was [2, 8]"),
        ("TooLarge", "allocate memory"),
    ],
)
def test_a_case_that_returns_nonsense_or_does_not_fit_is_a_row_and_the_next_is_measured(
    tmp_path, plugin, layer, reason
):
    folder, _ = measured(tmp_path, text=suite(layer), device="cpu", meter="none", quick=True, plugins=(str(plugin),))
    rows = rows_of(folder)
    assert rows.loc[layer, "status"] == "failed"
    assert reason in rows.loc[layer, "reason"]
    assert rows.loc["Works", "status"] == "ok"


def test_a_case_that_hangs_is_given_up_with_its_process_and_the_same_command_goes_on(tmp_path, plugin):
    text = suite("Hangs")
    options = {"device": "cpu", "meter": "none", "quick": True, "plugins": (str(plugin),), "case_limit_s": 1.0}
    abandoned = []

    def abandon(why):
        abandoned.append(why)
        (tmp_path / "back").touch()  # a real process would end here; this one lets the layer go, and ends by itself
        os.kill(os.getpid(), signal.SIGINT)

    chosen = RunOptions(results=tmp_path / "results", **options)
    station = open_station(chosen)
    try:
        study = plan_study(parse_suite(text), station, chosen)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, station, chosen, Remembering(), abandon)
    finally:
        station.close()
    assert abandoned[0].startswith("Hangs did not come back within 1 s")
    (tmp_path / "back").unlink()

    folder, _ = measured(tmp_path, text=text, **options)
    rows = rows_of(folder)
    assert rows.loc["Hangs", "status"] == "failed"
    assert "did not come back" in rows.loc["Hangs", "reason"]
    assert rows.loc["Works", "status"] == "ok"
    assert load(folder).record.complete


class Fragile(SimulatedDevice):
    """A simulated board on which one variant fails; ``for_good``: it takes the board along."""

    for_good = False
    broken = ""

    def loop(self, prepared):
        if prepared.plan.case.variant == "dense":
            self.broken = "an illegal memory access was encountered" if self.for_good else ""
            raise CaseError("an illegal memory access was encountered")
        return super().loop(prepared)

    def fault(self):
        return self.broken


def on(device, tmp_path):
    options = RunOptions(device="sim:h200", results=tmp_path / "results")
    station = Station(device, open_meter_for(device, None), ())
    return run_study(plan_study(parse_suite(SMALL), station, options), station, options, Remembering())


def test_what_follows_a_failed_case_is_measured_as_in_a_clean_run(tmp_path):
    clean = rows_by_case(on(SimulatedDevice("h200"), tmp_path / "clean"))
    folder = on(Fragile("h200"), tmp_path / "fragile")
    after = rows_by_case(folder)
    assert load(folder).record.complete
    for case, row in after.iterrows():
        if row["variant"] == "dense":
            assert row["status"] == "failed"
        else:
            # The same board and noise: what differs is the order of the windows.
            assert row["energy_per_inference_j"] == pytest.approx(clean.loc[case, "energy_per_inference_j"], rel=3e-3)
            assert row["loop_latency_s"] == pytest.approx(clean.loc[case, "loop_latency_s"], rel=3e-3)
            assert row["windows"] == clean.loc[case, "windows"]


def rows_by_case(folder):
    return summarize(load(folder)).cases.set_index("case")


def test_a_case_that_takes_the_device_along_ends_the_run_and_the_same_command_goes_on(tmp_path):
    device = Fragile("h200")
    device.for_good = True
    with pytest.raises(DeviceLostError, match="nothing more runs on it") as lost:
        on(device, tmp_path)
    assert "dense" in lost.value.why
    (folder,) = (tmp_path / "results").iterdir()
    assert not load(folder).record.complete

    # One process after the other: the first comparison goes on without it, the second one's is lost in the same way.
    device = Fragile("h200")
    device.for_good = True
    with pytest.raises(DeviceLostError):
        on(device, tmp_path)
    assert on(Fragile("h200"), tmp_path) == folder
    assert load(folder).record.complete
    rows = rows_by_case(folder)
    assert set(rows[rows["variant"] == "dense"]["status"]) == {"failed"}
    assert set(rows[rows["variant"] != "dense"]["status"]) == {"ok"}


class Small(SimulatedDevice):
    """A simulated board with little memory."""

    free_bytes = 0

    def free_memory_bytes(self):
        return self.free_bytes


def test_what_does_not_fit_together_is_measured_in_sub_blocks_that_all_have_the_baseline(tmp_path):
    """Cold inputs of a variant fill twice the L2, whatever its peak: 0.8 of 3.2 fills holds two of three variants."""
    device = Small("h200")
    device.free_bytes = int(3.2 * 2 * device.facts.l2_bytes)
    run = load(on(device, tmp_path))
    assert any("do not fit into memory together; measured in 2 sub-blocks" in note for note in run.record.notes)
    assert set(summarize(run).cases["status"]) == {"ok"}
    first = run.record.cases[0]
    blocks: dict[int, set[str]] = {}
    for window in run.windows:
        if window.kind == "window" and window.comparison == first.comparison:
            blocks.setdefault(window.block, set()).add(window.work)
    assert len(set.union(*blocks.values())) == 3
    assert all(len(works) == 2 and first.work in works for works in blocks.values())


def energybench(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "energybench", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "80"},
    )


def test_isolated_a_crash_and_a_hang_take_only_themselves_along(tmp_path, plugin):
    (tmp_path / "odd.yaml").write_text(suite("Crashes", "Hangs"))
    words = ("--device", "cpu", "--meter", "none", "--quick", "--plugin", plugin.name, "--output", "run")
    done = energybench("run", "odd.yaml", *words, "--isolate", "--case-limit", "3s", cwd=tmp_path)
    assert done.returncode == 4, done.stderr  # ran, but cases failed
    assert "Traceback" not in done.stderr
    rows = rows_of(tmp_path / "run")
    assert rows.loc["Works", "status"] == "ok"
    assert rows.loc["Crashes", "reason"] == "its process died (SIGSEGV)"
    assert rows.loc["Hangs", "reason"] == "did not come back within 3 s"
    record = load(tmp_path / "run").record
    assert record.complete
    assert "--isolated" not in record.command


def test_a_process_that_dies_while_it_runs_no_case_ends_an_isolated_run(tmp_path):
    (tmp_path / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    (tmp_path / "odd.yaml").write_text(suite())
    done = energybench("run", "odd.yaml", "--device", "cpu", "--plugin", "dies.py", "--isolate", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
