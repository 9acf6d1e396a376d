"""The command line: parse, call, print. Every other import is late, so that --help answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from energybench import __version__
from energybench.errors import EnergyBenchError

if TYPE_CHECKING:
    from energybench.session import RunOptions

EXIT_MISSED = 4
EXIT_INTERRUPTED = 130


class Commands(click.Group):
    """A group that shows our errors as they are, without a traceback, with their own exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an EnergyBenchError becomes its message on stderr and its exit code."""
        try:
            return super().invoke(ctx)
        except EnergyBenchError as error:
            click.echo(f"energybench: {_printable(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("energybench: interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(0)


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "ENERGYBENCH"}
)
@click.version_option(__version__, prog_name="energybench")
def main() -> None:
    r"""Joules and latency of GPU layers, with intervals one can believe.

    \b
    energybench run gconv              measure a suite (on a simulated H200 where there is no GPU)
    energybench report results/RUN     rebuild the report of a run from its folder
    energybench doctor                 is this device fit to be measured
    energybench compare RUN RUN        what changed between two runs, with a gate for CI
    energybench model group-size ...   the analytic side
    """


@main.command()
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
@click.option("--seed", type=int, default=0, show_default=True, help="Of inputs, weights and block orders.")
@click.option("--aa", "against_itself", is_flag=True, help="Measure the baseline against itself: proof of the set-up.")
@click.option("--no-calibrate", is_flag=True, help="Do not calibrate the sensor of a board that never was.")
@click.option("--dry-run", is_flag=True, help="Show cases, shared work, skips and estimates; measure nothing.")
@click.option("--fresh", is_flag=True, help="Start anew instead of resuming an incomplete run.")
def run(
    suites: tuple[str, ...], gpu: str | None, device: str | None, dry_run: bool, no_calibrate: bool, **options: Any
) -> None:
    """Measure suites: write run folders, print the answer.

    SUITE is the name of a shipped suite (energybench list) or a .yaml file. Interrupting is safe: the same command
    goes on where it stopped.
    """
    chosen = _run_options(_device(gpu, device), **options)
    status = 0
    for suite in suites:
        status = max(status, _run_one(suite, chosen, dry_run=dry_run, calibrate=not (no_calibrate or dry_run)))
    click.get_current_context().exit(status)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
def report(runs: tuple[Path, ...]) -> None:
    """Rebuild report.html, figures and results.csv of run folders, from the folders alone."""
    from energybench.report.build import build_report
    from energybench.report.terminal import print_summary

    for folder in runs:
        print_summary(build_report(folder))


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN]", type=click.Path(path_type=Path))
@click.option("--model", "against_model", is_flag=True, help="Judge the predictions of one run by its measurements.")
@click.option(
    "--fail-above",
    "gates",
    multiple=True,
    metavar="QUANTITY:LIMIT",
    help="Exit 1 where latency, energy or power is surely worse by more, e.g. energy:3%. Repeatable.",
)
@click.option("--strict", is_flag=True, help="Undecided and no longer measured cases fail the gate too.")
@click.option("--margin", default="1%", show_default=True, metavar="P", help="Changes within it are called the same.")
@click.option(
    "--same-board/--different-boards",
    default=None,
    help="Whether both runs are of one board, where its UUID does not say so (CPUs).",
)
def compare(runs: tuple[Path, ...], against_model: bool, gates: tuple[str, ...], **options: Any) -> None:
    """Compare two runs of a suite (the second over the first), or the variants of one run."""
    if len(runs) > 2:
        raise click.UsageError("give one run or two")
    if against_model and (len(runs) != 1 or gates):
        raise click.UsageError("--model takes one run and no --fail-above")
    if options["strict"] and not gates:
        raise click.UsageError("--strict needs --fail-above")
    if against_model:
        _compare_with_model(runs[0])
    else:
        click.get_current_context().exit(_compare(runs, gates, **options))


@main.command()
@click.argument("suite")
@click.option("--machine", required=True, help="Machine sheet: a name (energybench machines) or a .yaml file.")
@click.option(
    "--efficiency", default="libraries", show_default=True, help="What kernels reach of the peaks: name or file."
)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Run folder. Default: results/NAME.")
@click.option("--plugin", "plugins", multiple=True, metavar="X", help="A .py file or module whose layers may be named.")
def predict(suite: str, machine: str, efficiency: str, output: Path | None, plugins: tuple[str, ...]) -> None:
    """Predict a suite on a machine: latency and joules with their expected error, as a run folder."""
    from energybench.clock import utc_stamp
    from energybench.machine import load_machine
    from energybench.prediction import predict_suite
    from energybench.report.build import build_report
    from energybench.report.terminal import print_summary
    from energybench.suite import load_suite

    study, sheet = load_suite(suite), load_machine(machine)
    folder = output or Path("results") / f"{study.name}-model-{sheet.name}-{utc_stamp()}"
    print_summary(build_report(predict_suite(study, sheet, folder, efficiency=efficiency, plugins=plugins)))


@main.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--machine", help="Sheet to start from. Default: the run's own.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the fitted sheet to this .yaml file."
)
def fit(run: Path, machine: str | None, output: Path | None) -> None:
    """Fit a machine's unit energies and kernel efficiencies to a run, with intervals and left-out errors."""
    import yaml

    from energybench.analysis.fit import fit_run
    from energybench.analysis.fit_text import fit_lines
    from energybench.analysis.kernel_efficiency import efficiency_to_yaml
    from energybench.journal import load
    from energybench.machine import load_machine, machine_to_dict

    found = fit_run(load(run), load_machine(machine) if machine else None)
    click.echo("\n".join(fit_lines(found)))
    if output is not None:
        output.write_text(yaml.safe_dump(machine_to_dict(found.machine), sort_keys=False))
        beside = output.with_name(f"{output.stem}.efficiency.yaml")
        beside.write_text(efficiency_to_yaml(found.efficiency))
        click.echo(f"\nwrote {output} and {beside}: energybench predict SUITE --machine {output} --efficiency {beside}")


@main.command()
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

    station = open_station(RunOptions(device=_device(gpu, device), meter=meter))
    try:
        found = calibrated(station, quick=quick, tell=lambda text: click.echo(text, err=True))
    finally:
        station.close()
    click.echo("\n".join(calibration_lines(found.report, found.profile)))
    if figure is not None:
        from energybench.analysis.calibration_curves import calibration_curves
        from energybench.report.figures_calibration import calibration_figure

        curves = calibration_curves(found.recording, found.found)
        calibration_figure(curves, simulated=station.device.facts.simulated).savefig(figure)
        click.echo(f"figure {figure}")
    click.get_current_context().exit(0 if found.report.reliable else EXIT_MISSED)


@main.command()
@click.option("--gpu", metavar="N|UUID", help="CUDA GPU by index or UUID.")
@click.option("--device", metavar="D", help="cuda:0, cpu, or sim:MACHINE. Default: the first usable GPU.")
def doctor(gpu: str | None, device: str | None) -> None:
    """Is this device fit to be measured? Each finding with its remedy; exit status 3 when energy cannot be."""
    from energybench.devices.open import open_device, open_named_meter
    from energybench.doctor import diagnose, diagnosis_lines, examine

    opened, notes = open_device(_device(gpu, device))
    for note in notes:
        click.echo(note, err=True)
    try:
        found = diagnose(examine(opened.facts, lambda: open_named_meter(opened), opened.clock))
    finally:
        opened.close()
    click.echo("\n".join(diagnosis_lines(found)))
    click.get_current_context().exit(0 if found.can_measure_energy else 3)


@main.command("list")
def list_() -> None:
    """The shipped suites, one line each."""
    from energybench.expand import expand
    from energybench.suite import list_suites

    for suite in list_suites():
        cases, _ = expand(suite)
        click.echo(f"{suite.name:18} {len(cases):5} cases  {suite.about}")


@main.command()
@click.argument("suite")
@click.option("--quick", is_flag=True, help="What --quick keeps.")
def show(suite: str, quick: bool) -> None:
    """The cases of a suite, variant by variant, and what it skips."""
    from energybench.listing import listing
    from energybench.suite import load_suite

    click.echo(listing(load_suite(suite), quick=quick))


@main.command()
def schema() -> None:
    """The JSON Schema of suite files, for editors."""
    import json

    from energybench.suite import suite_schema

    click.echo(json.dumps(suite_schema(), indent=2))


@main.command()
def machines() -> None:
    """The machine sheets: peaks, bandwidth and power of each."""
    from energybench.listing import machine_lines

    click.echo("\n".join(machine_lines()))


@main.group()
def model() -> None:
    """The analytic models, without measuring anything."""


@model.command("group-size")
@click.option("--channels", type=click.IntRange(1), required=True, help="C, input and output channels.")
@click.option("--size", type=click.IntRange(1), required=True, help="Output side in pixels.")
@click.option("--kernel", type=click.IntRange(1), default=3, show_default=True, help="Filter side.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--machine", required=True, help="Machine sheet (energybench machines).")
@click.option("--group-overhead", metavar="TIME", help="Time each group costs, e.g. 10ns; default: none is known.")
def group_size(**options: Any) -> None:
    """Optimum group size of one grouped convolution: each named model, its optimum, knee and divisor choice."""
    from energybench.listing import group_size_lines

    click.echo("\n".join(group_size_lines(**options)))


def _compare(
    runs: tuple[Path, ...], gates: tuple[str, ...], *, strict: bool, margin: str, same_board: bool | None
) -> int:
    """Compare and print; returns the gate's exit status."""
    from energybench.analysis.compare import compare_runs, compare_variants
    from energybench.analysis.gate import judge, parse_gate
    from energybench.analysis.summary import summarize
    from energybench.journal import load
    from energybench.report.compare_text import print_comparison
    from energybench.suite import parse_precision

    limits = [parse_gate(text) for text in gates]
    try:
        same = parse_precision(margin)
    except ValueError as error:
        raise click.UsageError(f"--margin: {error}") from error
    summaries = [summarize(load(folder)) for folder in runs]
    if len(summaries) == 2:
        found = compare_runs(summaries[0], summaries[1], margin=same, same_board=same_board)
    else:
        found = compare_variants(summaries[0], margin=same)
    result = judge(found, limits, strict=strict) if limits else None
    print_comparison(found, result)
    return result.exit_code if result else 0


def _compare_with_model(run: Path) -> None:
    from energybench.analysis.model_error import compare_with_model
    from energybench.analysis.summary import summarize
    from energybench.journal import load
    from energybench.report.compare_text import print_model_comparison

    print_model_comparison(compare_with_model(summarize(load(run))))


def _device(gpu: str | None, device: str | None) -> str | None:
    """The device that --gpu and --device name; None where neither does."""
    if gpu is not None and device is not None:
        raise click.UsageError("--gpu and --device exclude each other")
    return f"cuda:{gpu}" if gpu is not None else device


def _run_options(device: str | None, **given: Any) -> RunOptions:
    from energybench.expand import parse_setting
    from energybench.session import RunOptions
    from energybench.suite import parse_duration_s, parse_precision

    try:
        precision = parse_precision(given["precision"]) if given["precision"] else None
        budget_s = parse_duration_s(given["budget"]) if given["budget"] else None
    except ValueError as error:
        raise click.UsageError(str(error)) from error
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
        fresh=given["fresh"],
        against_itself=given["against_itself"],
        seed=given["seed"],
        command=("energybench", *sys.argv[1:]),
    )


def _run_one(name: str, options: RunOptions, *, dry_run: bool, calibrate: bool) -> int:
    """Measure one suite; returns the exit status."""
    from rich.console import Console

    from energybench.listing import study_lines
    from energybench.progress import reporter
    from energybench.session import open_station, plan_study, run_study
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
        try:
            folder = run_study(study, station, options, progress)
        except KeyboardInterrupt:
            stderr.print("interrupted; what was measured is kept. Run the same command again to go on.", markup=False)
            raise
        finally:
            progress.close()
    finally:
        station.close()
    from energybench.report.build import build_report
    from energybench.report.terminal import print_summary

    summary = build_report(folder)
    print_summary(summary)
    if options.against_itself:
        from energybench.against_itself import self_test, self_test_lines

        click.echo("\n".join(self_test_lines(self_test(summary))))
    return _status(summary, quick=options.quick)


def _status(summary: Any, *, quick: bool) -> int:
    """4 where cases failed or missed the precision; never for --quick, never for having no meter."""
    cases = summary.cases
    if (cases["status"] == "failed").any():
        return EXIT_MISSED
    missed = cases["flags"].fillna("").str.split().apply(lambda flags: "wide" in flags).any()
    return EXIT_MISSED if missed and not quick else 0


def _printable(text: str) -> str:
    """Text without control characters, which a hostile name could send to the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
