"""The analytic side: model, predict, machines. Every other import is late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.group()
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


@click.command()
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


@click.command()
def machines() -> None:
    """The machine sheets: peaks, bandwidth and power of each."""
    from energybench.listing import machine_lines

    click.echo("\n".join(machine_lines()))
