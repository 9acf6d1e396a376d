"""Commands that read run folders: report, compare, fit. Every other import is late."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from energybench.cli.exporting import export_options, exports_taken, show

if TYPE_CHECKING:
    from energybench.journal import Run


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@export_options("csv", "json", "markdown", "html", "readings")
def report(runs: tuple[Path, ...], **options: Any) -> None:
    """Rebuild report.html, figures and results.csv of run folders, from the folders alone."""
    from energybench.report.build import build_report

    exports = exports_taken(options, results=len(runs))
    for folder in runs:
        show(build_report(folder), exports)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN]", type=click.Path(path_type=Path))
@click.option(
    "--model", "against_model", is_flag=True, help="Judge what `predict` says of one run by its measurements."
)
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
@export_options("csv", "json", "markdown")
def compare(runs: tuple[Path, ...], against_model: bool, gates: tuple[str, ...], **options: Any) -> None:
    """Compare two runs of a suite (the second over the first), or the variants of one run."""
    if len(runs) > 2:
        raise click.UsageError("give one run or two")
    if against_model and (len(runs) != 1 or gates):
        raise click.UsageError("--model takes one run and no --fail-above")
    if options["strict"] and not gates:
        raise click.UsageError("--strict needs --fail-above")
    exports = exports_taken(options)
    if against_model:
        if exports:
            raise click.UsageError("--model has no exports: its table is printed only")
        _compare_with_model(runs[0])
    else:
        click.get_current_context().exit(_compare(runs, gates, exports, **options))


@click.command()
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

    loaded = load(run)
    found = fit_run(loaded, load_machine(machine) if machine else None)
    click.echo("\n".join(fit_lines(found)))
    _say_group_size_curves(loaded)
    if output is not None:
        output.write_text(yaml.safe_dump(machine_to_dict(found.machine), sort_keys=False))
        beside = output.with_name(f"{output.stem}.efficiency.yaml")
        beside.write_text(efficiency_to_yaml(found.efficiency))
        click.echo(f"\nwrote {output} and {beside}: energybench predict SUITE --machine {output}")


def _say_group_size_curves(run: Run) -> None:
    """The curves through joules against group size, where the run is a study of it."""
    from energybench.analysis.book import Book
    from energybench.analysis.measured_group_size import layer_fits, network_optima
    from energybench.report.group_size_text import layer_fit_lines, measured_network_lines

    book = Book(run)
    curves = [
        *measured_network_lines(network_optima(book), simulated=run.simulated),
        *layer_fit_lines(layer_fits(book)),
    ]
    if curves:
        click.echo("\nenergy against group size\n" + "\n".join(f"  {line}" for line in curves))


def _compare(
    runs: tuple[Path, ...],
    gates: tuple[str, ...],
    exports: dict[str, str],
    *,
    strict: bool,
    margin: str,
    same_board: bool | None,
) -> int:
    """Compare and print; returns the gate's exit status."""
    from energybench.analysis.compare import compare_runs, compare_variants
    from energybench.analysis.gate import judge, parse_gate
    from energybench.analysis.summary import summarize
    from energybench.journal import load
    from energybench.report.compare_text import print_comparison
    from energybench.report.exports import export_comparison, to_stdout
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
    if not to_stdout(exports):
        print_comparison(found, result)
    export_comparison(found, exports, result)
    return result.exit_code if result else 0


def _compare_with_model(run: Path) -> None:
    from energybench.analysis.model_error import compare_with_model
    from energybench.analysis.run_model import run_model
    from energybench.analysis.summary import summarize
    from energybench.journal import load
    from energybench.report.compare_text import print_model_comparison

    found = load(run)
    print_model_comparison(compare_with_model(summarize(found), run_model(found)))
