"""Which figures does `model group-size --figures` draw? The knee of every machine, and what moves the optimum."""

from __future__ import annotations

from pathlib import Path

from energybench.analysis.group_sensitivity import knee_map, sensitivity
from energybench.analysis.grouped_layer_energy import Setting
from energybench.analysis.network_group_size import NetworkAnswer
from energybench.analysis.network_shapes import NetworkLayer
from energybench.errors import EnergyBenchError
from energybench.machine import machine_table
from energybench.report.figures.files import save_figure
from energybench.report.figures.knee import knee_map_figure, sensitivity_figure
from energybench.report.figures.network_group_size import network_group_size_figure


def layer_figures(layer: NetworkLayer, setting: Setting, folder: Path) -> list[Path]:
    """The knees of all machines for filters like this layer's, and how its optimum moves from ``setting``.

    Raises:
        EnergyBenchError: ``folder`` cannot be written.
    """
    where = (
        f"C={layer.channels}, {layer.size}x{layer.size}, {layer.kernel_size}x{layer.kernel_size} filters, "
        f"{setting.machine.title}, batch {setting.batch}, {setting.dtype}"
    )
    figures = {
        "knees": knee_map_figure(
            knee_map(machine_table(), kernel_size=layer.kernel_size), kernel_size=layer.kernel_size
        ),
        "sensitivity": sensitivity_figure(sensitivity(layer, setting), subtitle=where),
    }
    return [path for name, figure in figures.items() for path in save_figure(figure, _made(folder) / name)]


def network_figures(answer: NetworkAnswer, folder: Path) -> list[Path]:
    """Joules, time and thesis of a network against its group size, and the knees of all machines.

    Raises:
        EnergyBenchError: ``folder`` cannot be written.
    """
    figures = {"network": network_group_size_figure(answer), "knees": knee_map_figure(knee_map(machine_table()))}
    return [path for name, figure in figures.items() for path in save_figure(figure, _made(folder) / name)]


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnergyBenchError(
            f"the folder cannot be made: {error.strerror or error}",
            where=f"--figures {folder}",
            remedy="give a folder that may be written",
        ) from error
    return folder
