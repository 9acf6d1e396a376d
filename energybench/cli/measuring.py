"""Commands that measure: run, calibrate, doctor. Every other import is late, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from energybench.cli.exporting import export_options, exports_taken, show
from energybench.errors import DeviceLostError
from energybench.isolation import FIRST, GO_ON, Step, supervise

if TYPE_CHECKING:
    from energybench.study import RunOptions

EXIT_MISSED = 4


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...")
@click.option("--gpu", metavar="N|UUID", help="CUDA GPU by index (CUDA_VISIBLE_DEVICES applies) or UUID.")
@click.option("--device", metavar="D", help="cuda:0, cpu, or sim:MACHINE. Default: the first usable GPU.")
@click.option("--meter", type=click.Choice(["nvml", "rapl", "sim", "none"]), help="Default: the device's own.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Run folder. Default: results/NAME.")
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
@export_options("csv", "json", "markdown", "html", "readings")
def run(
    suites: tuple[str, ...],
    gpu: str | None,
    device: str | None,
    dry_run: bool,
    no_calibrate: bool,
    isolate: bool,
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
    chosen = _run_options(device_named(gpu, device), isolated, **options)
    calibrate = not (no_calibrate or dry_run)
    status = 0
    for place, suite in enumerate(suites if isolated is None else suites[isolated[0] : isolated[0] + 1]):
        if isolate and isolated is None and not dry_run:
            status = max(status, supervise(sys.argv[2:], place))
        else:
            status = max(status, _run_one(suite, chosen, exports, dry_run=dry_run, calibrate=calibrate))
    click.get_current_context().exit(status)


@click.command()
@click.option("--gpu", metavar="N|UUID", help="CUDA GPU by index or UUID.")
@click.option("--device", metavar="D", help="cuda:0, cpu, or sim:MACHINE. Default: the first usable GPU.")
@click.option("--meter", type=click.Choice(["nvml", "rapl", "sim"]), help="Default: the device's own.")
@click.option("--quick", is_flag=True, help="The short form: under a minute, without the finer points.")
@click.option(
    "--figure", type=click.Path(path_type=Path, dir_okay=False), help="Write a figure of the fit (.svg, .png)."
)
def calibrate(gpu: str | None, device: str | None, meter: str | None, quick: bool, figure: Path | None) -> None:
    """Find out what a board's power sensor does, by square waves; kept for later runs of that board."""
    from energybench.analysis.calibration_words import calibration_lines
    from energybench.first_use import calibrated
    from energybench.study import RunOptions, open_station

    station = open_station(RunOptions(device=device_named(gpu, device), meter=meter))
    try:
        found = calibrated(station, quick=quick, tell=lambda text: click.echo(text, err=True))
    finally:
        station.close()
    click.echo("\n".join(calibration_lines(found.report, found.profile)))
    if figure is not None:
        from energybench.analysis.calibration_curves import calibration_curves
        from energybench.report.figures_calibration import calibration_figure

        curves = calibration_curves(found.recording, found.found)
        calibration_figure(curves, origin="simulated" if station.device.facts.simulated else "measured").savefig(figure)
        click.echo(f"figure {figure}")
    click.get_current_context().exit(0 if found.report.reliable else EXIT_MISSED)


@click.command()
@click.option("--gpu", metavar="N|UUID", help="CUDA GPU by index or UUID.")
@click.option("--device", metavar="D", help="cuda:0, cpu, or sim:MACHINE. Default: the first usable GPU.")
def doctor(gpu: str | None, device: str | None) -> None:
    """Is this device fit to be measured? Each finding with its remedy; exit status 3 when energy cannot be."""
    from energybench.clock import RealClock
    from energybench.devices.open import open_device, open_named_meter
    from energybench.doctor import diagnose, diagnosis_lines, examine
    from energybench.errors import DeviceError
    from energybench.meters import open_meter

    named = device_named(gpu, device)
    try:
        opened, notes = open_device(named)
    except DeviceError as error:
        if not (named or "cuda").startswith("cuda"):
            raise
        clock = RealClock()
        found = diagnose(examine(None, lambda: open_meter("nvml", clock=clock), clock, refused=error))
    else:
        for note in notes:
            click.echo(note, err=True)
        try:
            found = diagnose(examine(opened.facts, lambda: open_named_meter(opened), opened.clock))
        finally:
            opened.close()
    click.echo("\n".join(diagnosis_lines(found)))
    click.get_current_context().exit(0 if found.can_measure_energy else 3)


def device_named(gpu: str | None, device: str | None) -> str | None:
    """The device that --gpu and --device name; None where neither does."""
    if gpu is not None and device is not None:
        raise click.UsageError("--gpu and --device exclude each other")
    return f"cuda:{gpu}" if gpu is not None else device


def _run_options(device: str | None, isolated: tuple[int, int, str] | None, **given: Any) -> RunOptions:
    from energybench.expand import parse_setting
    from energybench.session import RunOptions
    from energybench.suite import parse_duration_s, parse_precision

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
        against_itself=given["against_itself"],
        operators=given["operators"],
        seed=given["seed"],
        command=("energybench", *(sys.argv[1:-4] if isolated else sys.argv[1:])),
    )


def _run_one(name: str, options: RunOptions, exports: dict[str, str], *, dry_run: bool, calibrate: bool) -> int:
    """Measure one suite; returns the exit status."""
    from rich.console import Console

    from energybench.listing import study_lines
    from energybench.progress import reporter
    from energybench.session import ComparisonDone, open_station, plan_study, run_study
    from energybench.suite import load_suite

    stderr = Console(stderr=True)
    suite = load_suite(name)
    station = open_station(options)
    try:
        for note in station.notes:
            stderr.print(note, highlight=False, markup=False)
        if calibrate:
            from energybench.first_use import calibrated_on_first_use

            station = calibrated_on_first_use(station, lambda text: stderr.print(text, highlight=False, markup=False))
        study = plan_study(suite, station, options)
        if dry_run:
            click.echo("\n".join(study_lines(study, station)))
            return 0
        progress = reporter(stderr, study.works * study.plan.windows, suite.name)

        def abandon(why: str) -> None:
            progress.close()
            stderr.print(f"{why}.", highlight=False, markup=False)
            if options.isolated is None:
                stderr.print("The same command goes on without it; with --isolate a run does so by itself.")
            os._exit(EXIT_MISSED if options.isolated is None else GO_ON)

        try:
            folder = run_study(study, station, options, progress, abandon)
        except ComparisonDone:
            return GO_ON
        except DeviceLostError as error:
            if options.isolated is None:
                raise
            stderr.print(str(error), highlight=False, markup=False)
            return GO_ON
        except KeyboardInterrupt:
            stderr.print("interrupted; what was measured is kept. Run the same command again to go on.", markup=False)
            raise
        finally:
            progress.close()
    finally:
        station.close()
    from energybench.report.build import build_report

    summary = build_report(folder)
    show(summary, exports)
    if options.against_itself:
        from energybench.against_itself import self_test, self_test_lines

        click.echo("\n".join(self_test_lines(self_test(summary))))
    return _status(summary, quick=options.quick)


def _status(summary: Any, *, quick: bool) -> int:
    """4 where cases failed or missed the precision; never for --quick, never for having no meter."""
    cases = summary.cases
    if cases["status"].isin(["failed", "missing"]).any():
        return EXIT_MISSED
    missed = cases["flags"].fillna("").str.split().apply(lambda flags: "wide" in flags).any()
    return EXIT_MISSED if missed and not quick else 0
