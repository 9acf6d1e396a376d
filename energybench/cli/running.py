"""The command that measures suites: run. Every other import is late, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from energybench.cli.exporting import export_options, exports_taken, show
from energybench.cli.measuring import device_named
from energybench.errors import DeviceLostError, EnergyBenchError
from energybench.isolation import FIRST, GO_ON, Step, supervise

if TYPE_CHECKING:
    from energybench.progress import Reporter
    from energybench.session.study import RunOptions, Station, Study

EXIT_MISSED = 4
EXIT_INTERRUPTED = 130


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...")
@click.option("--gpu", metavar="N|UUID", help="CUDA GPU by index (CUDA_VISIBLE_DEVICES applies) or UUID.")
@click.option("--device", metavar="D", help="cuda:0, cpu, or sim:MACHINE. Default: the first usable GPU.")
@click.option("--meter", type=click.Choice(["nvml", "rapl", "sim", "none"]), help="Default: the device's own.")
@click.option("--machine", metavar="SHEET", help="Sheet to judge the run by (machines measure). Default: the device's.")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Run folder. Default: results/NAME-DEVICE-TIME."
)
@click.option("--quick", is_flag=True, help="Few cases, short windows: a look, not for print.")
@click.option("--precision", metavar="P", help="Wanted half-width of the 95 % interval, e.g. 1%.")
@click.option("--budget", metavar="TIME", help="Stop after this time, e.g. 10min.")
@click.option("--only", multiple=True, metavar="GLOB", help="Variants or cases to measure; the baseline is kept.")
@click.option("--set", "settings", multiple=True, metavar="AXIS=V,V", help="Values of an axis, instead of the suite's.")
@click.option("--plugin", "plugins", multiple=True, metavar="X", help="A .py file or module whose layers may be named.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of inputs, weights and block orders."
)
@click.option("--case-limit", default="10min", show_default=True, metavar="TIME", help="A case that hangs has failed.")
@click.option("--isolate", is_flag=True, help="Each comparison in a process of its own: a crash or hang ends no run.")
@click.option("--isolated", nargs=3, type=(int, int, str), hidden=True)
@click.option("--operators", is_flag=True, help="Time every operator after the windows, with kernel names on CUDA.")
@click.option("--aa", "against_itself", is_flag=True, help="Measure the baseline against itself: proof of the set-up.")
@click.option("--no-calibrate", is_flag=True, help="Do not calibrate the sensor of a board that never was.")
@click.option("--dry-run", is_flag=True, help="Show cases, shared work, skips and estimates; measure nothing.")
@click.option("--fresh", is_flag=True, help="Start anew instead of resuming an incomplete run.")
@click.option("--force-resume", is_flag=True, help="Go on although suite, device or software changed; rows say so.")
@click.option("--retry-failed", is_flag=True, help="Go on with a run and try again what failed in it.")
@click.option("--wait", is_flag=True, help="Wait for another run on the device, instead of being refused.")
@click.option("--allow-foreign", is_flag=True, help="Print joules though others use the GPU; every row says so.")
@click.option("--max-cases", type=click.IntRange(1), default=100_000, show_default=True, help="Refuse larger suites.")
@click.option("--quiet", is_flag=True, help="No progress and no notes; errors and the answer only.")
@click.option("--json", "events", is_flag=True, help="Progress, notes and errors as JSON lines on stderr.")
@export_options("csv", "json", "markdown", "html", "readings")
def run(
    suites: tuple[str, ...],
    gpu: str | None,
    device: str | None,
    dry_run: bool,
    no_calibrate: bool,
    isolate: bool,
    quiet: bool,
    events: bool,
    isolated: tuple[int, int, str] | None,
    **options: Any,
) -> None:
    """Measure suites: write run folders, print the answer.

    SUITE is the name of a shipped suite (energybench list) or a .yaml file. Interrupting is safe: the same command
    goes on where it stopped.
    """
    if len(suites) > 1 and options["output"] is not None:
        raise click.UsageError("--output takes one run; give one suite, or leave it out")
    if isolate and options["budget"] is not None:
        raise click.UsageError("--isolate and --budget exclude each other: no process knows what the others took")
    exports = exports_taken(options, results=len(suites))
    if exports and dry_run:
        raise click.UsageError("--dry-run measures nothing that could be exported")
    if options["against_itself"] and options["only"]:
        raise click.UsageError("--aa measures the baseline alone, so that --only has no choice; --set narrows the axes")
    if quiet and events:
        raise click.UsageError("--quiet and --json exclude each other")
    chosen = _run_options(device_named(gpu, device), isolated, **options)
    status = 0
    for place, suite in enumerate(suites if isolated is None else suites[isolated[0] : isolated[0] + 1]):
        if isolate and isolated is None and not dry_run:
            status = max(status, supervise(sys.argv[2:], place))
            continue
        told = _teller(suite, quiet=quiet, events=events)
        with _told(told):
            folder = _run_one(suite, chosen, told, dry_run=dry_run, calibrate=not (no_calibrate or dry_run))
            if folder is not None:
                status = max(status, _reported(folder, chosen, told, exports))
            elif isolated is not None:
                status = GO_ON
    click.get_current_context().exit(status)


def _teller(suite: str, *, quiet: bool, events: bool) -> Reporter:
    from rich.console import Console

    from energybench.progress import reporter

    return reporter(Console(stderr=True), Path(suite).stem, quiet=quiet, events=events)


@contextmanager
def _told(told: Reporter) -> Iterator[None]:
    """Take the progress away at the end; with --json an error is an event too, and nothing else is on stderr."""
    from energybench.progress import JsonLines

    try:
        yield
    except (EnergyBenchError, KeyboardInterrupt) as error:
        if not isinstance(told, JsonLines):
            raise
        status = error.exit_code if isinstance(error, EnergyBenchError) else EXIT_INTERRUPTED
        told.event("error", text=str(error) or "interrupted; the same command goes on", status=status)
        raise SystemExit(status) from error
    finally:
        told.close()


def _run_options(device: str | None, isolated: tuple[int, int, str] | None, **given: Any) -> RunOptions:
    from energybench.session import RunOptions
    from energybench.suite import parse_duration_s, parse_precision
    from energybench.suite.cases import parse_setting

    try:
        precision = parse_precision(given["precision"]) if given["precision"] else None
        budget_s = parse_duration_s(given["budget"]) if given["budget"] else None
        case_limit_s = parse_duration_s(given["case_limit"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    step = Step(*isolated[1:]) if isolated else None
    again = step is not None and step.said != FIRST
    return RunOptions(
        device=device,
        meter=given["meter"],
        machine=given["machine"],
        output=given["output"],
        quick=given["quick"],
        precision=precision,
        budget_s=budget_s,
        only=given["only"],
        settings=dict(parse_setting(text) for text in given["settings"]),
        plugins=given["plugins"],
        fresh=given["fresh"] and not again,
        force_resume=given["force_resume"] and not again,
        retry_failed=given["retry_failed"] and not again,
        case_limit_s=case_limit_s,
        isolated=step,
        wait=given["wait"],
        allow_foreign=given["allow_foreign"],
        max_cases=given["max_cases"],
        against_itself=given["against_itself"],
        operators=given["operators"],
        seed=given["seed"],
        command=("energybench", *(sys.argv[1:-4] if isolated else sys.argv[1:])),
    )


def _run_one(name: str, options: RunOptions, told: Reporter, *, dry_run: bool, calibrate: bool) -> Path | None:
    """Measure one suite; returns its folder, None where there is none or other processes go on with it."""
    from energybench.cli.listing import study_lines
    from energybench.session import open_station, plan_study
    from energybench.suite import load_suite

    suite = load_suite(name)
    station = open_station(options, told.note)
    try:
        for note in station.notes:
            told.note(note)
        if calibrate:
            from energybench.session.first_use import calibrated_on_first_use

            station = calibrated_on_first_use(station, told.note)
        study = plan_study(suite, station, options)
        if dry_run:
            click.echo("\n".join(study_lines(study, station)))
            return None
        return _measured(study, station, options, told)
    finally:
        station.close()
        told.close()


def _measured(study: Study, station: Station, options: RunOptions, told: Reporter) -> Path | None:
    """The run folder; None where other processes go on with it."""
    from energybench.session import ComparisonDone, run_study

    def abandon(why: str) -> None:
        told.note(why)
        if options.isolated is None:
            told.note("the same command goes on without it; with --isolate a run does so by itself")
        told.close()
        os._exit(EXIT_MISSED if options.isolated is None else GO_ON)

    try:
        return run_study(study, station, options, told, abandon)
    except ComparisonDone:
        return None
    except DeviceLostError as error:
        if options.isolated is None:
            raise
        told.note(str(error))
        return None
    except KeyboardInterrupt:
        told.note(
            "interrupted; what was measured is kept. Run the same command again to go on, or energybench report FOLDER."
        )
        raise


def _reported(folder: Path, options: RunOptions, told: Reporter, exports: dict[str, str]) -> int:
    """Write the report, print the answer; returns the exit status."""
    from energybench.progress import JsonLines
    from energybench.report.build import build_report

    summary = build_report(folder)
    show(summary, exports)
    if options.against_itself:
        from energybench.session.against_itself import self_test, self_test_lines

        click.echo("\n".join(self_test_lines(self_test(summary))))
    status = _status(summary, quick=options.quick)
    if isinstance(told, JsonLines):
        told.event("end", folder=str(folder), status=status)
    return status


def _status(summary: Any, *, quick: bool) -> int:
    """4 where cases failed or missed the precision; never for --quick, never for having no meter."""
    cases = summary.cases
    if cases["status"].isin(["failed", "missing"]).any():
        return EXIT_MISSED
    missed = cases["flags"].fillna("").str.split().apply(lambda flags: "wide" in flags).any()
    return EXIT_MISSED if missed and not quick else 0
