"""Commands that look at a device: calibrate, doctor. Every other import is late, so that --help answers at once."""

from __future__ import annotations

from pathlib import Path

import click

EXIT_UNRELIABLE = 4


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
    from energybench.session.first_use import calibrated
    from energybench.session.study import RunOptions, open_station

    station = open_station(RunOptions(device=device_named(gpu, device), meter=meter))
    try:
        found = calibrated(station, quick=quick, tell=lambda text: click.echo(text, err=True))
    finally:
        station.close()
    click.echo("\n".join(calibration_lines(found.report, found.profile)))
    if figure is not None:
        from energybench.analysis.calibration_curves import calibration_curves
        from energybench.report.figures.calibration import calibration_figure

        curves = calibration_curves(found.recording, found.found)
        calibration_figure(curves, origin="simulated" if station.device.facts.simulated else "measured").savefig(figure)
        click.echo(f"figure {figure}")
    click.get_current_context().exit(0 if found.report.reliable else EXIT_UNRELIABLE)


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
            if note != opened.facts.simulation:  # a finding says it
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
