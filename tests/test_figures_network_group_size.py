"""Figures of group sizes of networks: what they show is what the numbers say."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure

from energybench.analysis.group_fit import fit_curve
from energybench.analysis.group_sensitivity import KneeCell, knee_map, sensitivity
from energybench.analysis.group_size import MeasuredOptimum
from energybench.analysis.grouped_layer_energy import Setting
from energybench.analysis.measured_group_size import EqualMacs, NetworkOptimum
from energybench.analysis.network_group_size import network_group_size
from energybench.analysis.network_shapes import NetworkLayer, grouped_network
from energybench.analysis.statistics import Interval
from energybench.machine import load_machine, machine_table
from energybench.report.figures import svg_text
from energybench.report.figures.knee import knee_map_figure, sensitivity_figure
from energybench.report.figures.network_group_size import measured_network_figure, network_group_size_figure
from energybench.report.style import Palette

P100 = load_machine("p100-pcie")
SVG = "{http://www.w3.org/2000/svg}"


def texts(figure: Figure) -> list[str]:
    return [(t.text or "").strip() for t in ET.fromstring(svg_text(figure, "test")).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def answer():
    return network_group_size(grouped_network("mobilenet_v1"), Setting(P100, 32, "float32", 2e-7))


@pytest.fixture(scope="module")
def modelled(answer) -> Figure:
    return network_group_size_figure(answer)


def optimum(network: str = "mobilenet_v1") -> NetworkOptimum:
    sizes = (1, 2, 4, 8, 16, 32)
    joules = [3 + 0.5 * G + 32 / G for G in sizes]
    return NetworkOptimum(
        network=network,
        batch=32,
        dtype="float16",
        group_sizes=sizes,
        variants=tuple(f"E2GC G={G}" for G in sizes),
        joules=tuple(Interval(j, 0.98 * j, 1.02 * j, 7) for j in joules),
        optimum=MeasuredOptimum(8, 11.0, (4, 8, 16)),
        fit=fit_curve(sizes, joules),
        reason="",
        at_equal_macs=(EqualMacs("FgGC g=32", 32, 7.69, 12.0, Interval(1.09, 1.05, 1.13, 3)),),
    )


def test_the_bars_are_the_modelled_joules_by_cause(answer, modelled):
    bars = modelled.axes[0].patches
    sizes = answer.constant_size
    assert len(bars) == 3 * len(sizes)
    heights = np.array([bar.get_height() for bar in bars]).reshape(3, -1).sum(axis=0)
    joules = np.array([a.energy.total_j for a in sizes])
    assert heights / heights[0] == pytest.approx(joules / joules[0])


def test_constant_g_stands_at_the_group_size_of_equal_macs(answer, modelled):
    marks = [line.get_xdata()[0] for line in modelled.axes[1].get_lines() if line.get_marker() == "s"]
    within = [a.fixed.equivalent_group_size for a in answer.constant_groups if a.fixed.equivalent_group_size < 33]
    assert sorted(marks) == pytest.approx(sorted(within))


def test_every_models_choice_is_written_above_its_panel(modelled):
    heads = [ax.get_title(loc) for ax in modelled.axes for loc in ("left", "center")]
    assert [head.split(":")[0] for head in heads if head] == ["physical", "knee", "thesis"]
    assert any("G = 8" in head for head in heads)
    assert any("modelled, not measured" in text for text in texts(modelled))


def test_the_measured_figure_shows_points_curve_confidence_set_and_constant_g():
    figure = measured_network_figure([optimum()])
    ax = figure.axes[0]
    points = [line for line in ax.get_lines() if "E2GC" in str(line.get_gid())]
    assert [line.get_xdata()[0] for line in points] == [1, 2, 4, 8, 16, 32]
    palette = Palette.of([*optimum().variants, "FgGC g=32"])
    assert [line.get_color() for line in points] == [palette.color(f"E2GC G={G}") for G in (1, 2, 4, 8, 16, 32)]
    (band,) = [p for p in ax.patches if p.get_width() > 1]
    assert 2 < band.get_x() < 4
    assert 16 < band.get_x() + band.get_width() < 32
    shown = texts(figure)
    assert any("g=32 ×1.09" in text for text in shown)
    assert any(text.startswith("G* = 8") for text in shown)


def test_a_simulated_measurement_says_so_across_the_figure():
    shown = texts(measured_network_figure([optimum()], origin="simulated"))
    assert "SIMULATED" in shown
    assert "SIMULATED" not in texts(measured_network_figure([optimum()]))


def test_a_hostile_network_name_cannot_act():
    name = "<script>alert(1)</script>\x1b[31m"
    shown = " ".join(texts(measured_network_figure([optimum(name)])))
    assert "\x1b" not in shown
    assert "<script>" not in svg_text(measured_network_figure([optimum(name)]), "test")


def test_the_knee_map_has_one_row_a_machine_and_a_dot_at_every_knee():
    machines = machine_table()
    figure = knee_map_figure(knee_map(machines))
    ax = figure.axes[0]
    assert {t.get_text() for t in ax.get_yticklabels()} == {m.name for m in machines}
    dots = {round(float(line.get_xdata()[0]), 2) for line in ax.get_lines() if line.get_marker() == "o"}
    assert {5.65, 6.19} <= {round(d, 2) for d in dots}  # P100 PCIe and H200 in float32, worked in the reference


def test_a_rate_borrowed_from_another_type_is_hollow_and_one_that_changes_nothing_is_left_out():
    cells = [
        KneeCell("p", "float32", "float32", 12.7, 5.65, 1),
        KneeCell("p", "tf32", "float32", 12.7, 5.65, 1),
        KneeCell("p", "float16", "float32", 12.7, 2.82, 1),
    ]
    figure = knee_map_figure(cells)
    fills = [line.get_markerfacecolor() for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert len(fills) == 2
    assert len(set(fills)) == 2
    assert "tf32" not in " ".join(texts(figure))


def test_the_sensitivity_has_a_panel_an_axis_and_marks_where_there_is_no_knee():
    moved = sensitivity(NetworkLayer(1024, 7), Setting(load_machine("h200"), 1, "float16", 9e-9))
    figure = sensitivity_figure(moved, subtitle="C=1024")
    assert len(figure.axes) == 4
    upward = [line for line in figure.axes[0].get_lines() if line.get_marker() == "^"]
    assert len(upward) == sum(math.isinf(m.knee) for m in moved if m.axis == "channels") > 0


def test_an_axis_with_a_single_value_has_no_panel():
    figure = sensitivity_figure(sensitivity(NetworkLayer(256, 28), Setting(P100, 32)))
    assert [ax.get_xlabel() for ax in figure.axes] == ["channels C (log₂)", "batch (log₂)", "power cap (W)"]


@pytest.mark.parametrize("draw", [lambda: measured_network_figure([]), lambda: knee_map_figure([]),
                                  lambda: sensitivity_figure([])])  # fmt: skip
def test_nothing_to_draw_is_an_error_not_an_empty_figure(draw):
    with pytest.raises(ValueError, match=r"no|nothing"):
        draw()
