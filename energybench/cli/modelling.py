"""The analytic side: model, predict, machines. Every other import is late."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click


@click.group()
def model() -> None:
    """The analytic models, without measuring anything."""


@model.command("group-size")
@click.option("--channels", type=click.IntRange(1), help="C, input and output channels of a layer.")
@click.option("--size", type=click.IntRange(1), help="Output side of a layer in pixels.")
@click.option("--kernel", type=click.IntRange(1), default=3, show_default=True, help="Filter side of a layer.")
@click.option("--network", metavar="NAME", help="A whole network instead of a layer: mobilenet_v1 or resnext50.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--machine", required=True, help="Machine sheet (energybench machines).")
@click.option("--group-overhead", metavar="TIME", help="Time each group costs, e.g. 10ns; default: none is known.")
@click.option("--power-cap", type=click.FloatRange(1), metavar="W", help="Default: the board's own; none for the knee.")
@click.option(
    "--figures", type=click.Path(path_type=Path, file_okay=False), help="Draw what moves the optimum into this folder."
)
def group_size(
    channels: int | None,
    size: int | None,
    kernel: int,
    network: str | None,
    power_cap: float | None,
    figures: Path | None,
    **options: Any,
) -> None:
    """Optimum group size of a grouped convolution, or of a network: each named model, its optimum and choice."""
    from itertools import chain

    from energybench.cli.listing import group_size_lines, layer_figure_lines, network_lines

    if network is not None:
        lines = network_lines(network=network, power_cap_w=power_cap, figures=figures, **options)
    elif channels is None or size is None:
        raise click.UsageError("give --channels and --size of a layer, or --network")
    else:
        asked = {"channels": channels, "size": size, "kernel": kernel, "power_cap_w": power_cap, **options}
        lines = group_size_lines(**asked)
        if figures is not None:
            lines = chain(lines, layer_figure_lines(figures=figures, **asked))
    click.echo("\n".join(lines))


@click.command()
@click.argument("suite")
@click.option("--machine", required=True, help="Machine sheet: a name (energybench machines) or a .yaml file.")
@click.option(
    "--efficiency",
    metavar="NAME|FILE",
    help="What kernels reach of the peaks. Default: what `fit` wrote beside the sheet, else libraries.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Run folder. Default: results/NAME-DEVICE-TIME."
)
@click.option("--plugin", "plugins", multiple=True, metavar="X", help="A .py file or module whose layers may be named.")
def predict(suite: str, machine: str, efficiency: str | None, output: Path | None, plugins: tuple[str, ...]) -> None:
    """Predict a suite on a machine: latency and joules with their expected error, as a run folder."""
    from energybench.clock import utc_stamp
    from energybench.machine import load_machine
    from energybench.prediction import LIBRARIES, efficiency_beside, predict_suite
    from energybench.report.build import build_report
    from energybench.report.terminal import print_summary
    from energybench.suite import load_suite

    study, sheet = load_suite(suite), load_machine(machine)
    table = efficiency or efficiency_beside(machine)
    if sheet.provenance == "fitted" and table == LIBRARIES:
        click.echo(
            f"note: {machine} was fitted together with kernel efficiencies that are not beside it; with the shipped "
            "ones its joules per FLOP are too few for most kernels: give --efficiency",
            err=True,
        )
    folder = output or Path("results") / f"{study.name}-model-{sheet.name}-{utc_stamp()}"
    print_summary(build_report(predict_suite(study, sheet, folder, efficiency=table, plugins=plugins)))


@click.group(invoke_without_command=True)
@click.pass_context
def machines(context: click.Context) -> None:
    """The machine sheets: peaks, bandwidth, power; `show` tells one whole, `measure` makes one of a device."""
    if context.invoked_subcommand is None:
        from energybench.cli.listing import machine_lines

        click.echo("\n".join(machine_lines()))


@machines.command("show")
@click.argument("name")
def show_machine(name: str) -> None:
    """Every number of a sheet (a name, or a .yaml file) with its source and what is doubtful about it."""
    from energybench.machine import load_machine
    from energybench.report.machine_text import machine_sheet_lines

    click.echo("\n".join(machine_sheet_lines(load_machine(name))))


@machines.command("measure")
@click.option("--gpu", metavar="N|UUID", help="CUDA GPU by index or UUID.")
@click.option("--device", metavar="D", help="cuda:0, cpu, or sim:MACHINE. Default: the first usable GPU.")
@click.option("--meter", type=click.Choice(["nvml", "rapl", "sim", "none"]), help="Default: the device's own.")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Run folder. Default: results/NAME-DEVICE-TIME."
)
@click.option("--quick", is_flag=True, help="Short windows: a look.")
@click.option("--fresh", is_flag=True, help="Start anew instead of resuming.")
def measure(gpu: str | None, device: str | None, **options: Any) -> None:
    """Measure bandwidths (memory, last-level cache) and matrix-product peaks of a device, and joules with a meter."""
    from contextlib import closing

    from rich.console import Console

    from energybench.cli.measuring import device_named
    from energybench.measure_machine import KERNELS, NAME, measure_machine, write_sheet
    from energybench.progress import reporter
    from energybench.report.machine_text import measured_machine_lines
    from energybench.session.study import RunOptions

    chosen = RunOptions(
        device=device_named(gpu, device), plugins=KERNELS, command=("energybench", *sys.argv[1:]), **options
    )
    with closing(reporter(Console(stderr=True), NAME)) as progress:
        folder, found = measure_machine(chosen, progress)
    write_sheet(found, folder / "machine.yaml")
    click.echo("\n".join(measured_machine_lines(found)))
    click.echo(f"\nsheet {folder / 'machine.yaml'}")
