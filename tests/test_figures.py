"""The figures: what they show is what the numbers say, in one style, and no name in them can act."""

from __future__ import annotations

import dataclasses
import itertools
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from report_example import BASELINE, MACHINE, VARIANTS, example_summary, power_trace, renamed

from energybench.analysis.waterline import waterline
from energybench.cost import OperatorCost
from energybench.machine import Machine
from energybench.report.figures import FigureFile, captions, save_figures, svg_text
from energybench.report.figures.captions import absences
from energybench.report.figures.contributions import contribution_figure
from energybench.report.figures.gap import energy_gap_figure, latency_gap_figure, with_ideal_energy
from energybench.report.figures.group_size import group_size_figure
from energybench.report.figures.intensity import intensity_figure
from energybench.report.figures.pairs import pair_figure
from energybench.report.figures.power import power_figure, thinned
from energybench.report.figures.roofline import energy_roofline_figure, roofline_figure
from energybench.report.figures.variants import variants_figure
from energybench.report.figures.waterline import waterline_figure
from energybench.report.quantities import quantity
from energybench.report.results_csv import write_csv
from energybench.report.style import HUES, MUTED, NEUTRALS_DARK, PAPER, Palette, family_of, plain

PALETTE = Palette.of(VARIANTS)
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '$\\frac{a}$<script>alert(1)</script> "x" & \x1b[31m\nline\u202e=1+1'


def texts(figure: Figure) -> list[str]:
    """Everything a reader of the figure can read."""
    return [(t.text or "").strip() for t in ET.fromstring(svg_text(figure, "test")).iter(f"{SVG}text")]


def whisker_ends(ax: Axes) -> list[tuple[float, float]]:
    lines = [np.asarray(line.get_data(), dtype=float) for line in ax.get_lines()]
    return [(x[0], x[1]) for x, y in lines if len(x) == 2 and y[0] == y[1] and line_is_inside(ax, x)]


def line_is_inside(ax: Axes, x: np.ndarray) -> bool:
    return bool(x[0] >= ax.get_xlim()[0] and x[1] <= ax.get_xlim()[1])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[FigureFile]:
    return save_figures(example_summary(), tmp_path_factory.mktemp("figures"))


def test_every_figure_is_a_well_formed_svg_and_a_png_with_title_and_caption(saved: list[FigureFile]) -> None:
    assert {f.family for f in saved} >= {"pairs", "gap", "roofline", "waterline", "group size"}
    for figure in saved:
        root = ET.parse(figure.svg).getroot()
        assert root.tag == f"{SVG}svg"
        assert len(list(root.iter(f"{SVG}text"))) > 3, "text stays text"
        assert figure.png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert figure.title
        assert figure.caption.endswith(".")


def test_the_same_figure_is_the_same_bytes() -> None:
    pairs = example_summary().pairs
    one, two = (svg_text(pair_figure(pairs, PALETTE), "salt") for _ in range(2))
    assert one == two


def test_simulated_figures_say_so_twice_and_measured_ones_never(saved: list[FigureFile]) -> None:
    for figure in saved:
        assert figure.svg.read_text().count("SIMULATED") == 2
    measured = pair_figure(example_summary(simulated=False).pairs, PALETTE)
    assert "SIMULATED" not in svg_text(measured, "x")


def test_a_variant_has_one_colour_in_every_figure_it_is_in(saved: list[FigureFile]) -> None:
    palette = Palette.of(["FgGC g=8", "FgGC g=32", "E2GC G=4", "E2GC G=8", "depthwise", "dense"])
    for figure in saved:
        if figure.family in ("gap", "roofline", "waterline"):
            drawn = figure.svg.read_text()
            assert all(ink.light in drawn for ink in palette.inks.values()), figure.name


def test_variants_differ_in_colour_and_families_in_marker() -> None:
    inks = PALETTE.inks
    assert len({ink.light for ink in inks.values()}) == len(VARIANTS)
    for one, other in itertools.combinations(VARIANTS, 2):
        if family_of(one) != family_of(other):
            assert inks[one].marker != inks[other].marker


def test_families_stay_apart_for_the_colour_blind() -> None:
    # Vienot, Brettel, Mollon (1999), deuteranopia in linear RGB: L and M cones see the same.
    deuteranopia = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    middles = [np.mean([rgb(c) for c in hue.light], axis=0) ** 2.2 for hue in HUES[:4]]
    for one, other in itertools.combinations(middles, 2):
        assert np.abs(deuteranopia @ one - deuteranopia @ other).max() > 0.05


def test_names_of_variants_read_on_paper() -> None:
    for ink in PALETTE.inks.values():
        # WCAG 2.2, 1.4.3: body text needs a contrast of 4.5
        assert contrast(ink.text, PAPER) >= 4.5


def test_every_colour_of_a_figure_has_one_for_the_dark_page(saved: list[FigureFile]) -> None:
    dark = Palette.of(["FgGC g=8", "FgGC g=32", "E2GC G=4", "E2GC G=8", "depthwise", "dense"]).dark()
    assert set(NEUTRALS_DARK) <= set(dark)
    for figure in saved:
        for element in ET.parse(figure.svg).getroot().iter():
            style = element.get("style", "")
            used = {word.strip(" ;")[:7] for word in style.split(":") if word.strip().startswith("#")}
            assert used <= set(dark), (figure.name, used - set(dark))


def test_drawing_leaves_matplotlib_as_it_was_and_does_not_touch_pyplot() -> None:
    before = dict(mpl.rcParams)
    pair_figure(example_summary().pairs, PALETTE)
    assert dict(mpl.rcParams) == before
    code = (
        "import sys, energybench.report.figures; sys.exit('matplotlib.pyplot' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_without_joules_shows_latency_and_the_reason_and_no_empty_panel(tmp_path: Path) -> None:
    summary = example_summary(energy=False, simulated=False)
    files = save_figures(summary, tmp_path)
    assert {f.name.split("-")[0] for f in files} == {
        "pairs", "variants", "gap", "group", "roofline", "budget", "waterline",
    }  # fmt: skip
    assert not [f.name for f in files if "energy" in f.name]
    for figure in files:
        assert "joules" not in figure.svg.read_text()
    assert "no RAPL counters" in next(f.caption for f in files if f.family == "pairs")
    assert any("no RAPL counters" in line for line in absences(summary))


def test_a_device_without_a_machine_sheet_keeps_the_figures_that_need_none(tmp_path: Path) -> None:
    summary = example_summary(machine=False)
    (tmp_path / "old.svg").write_text("of an older report")
    assert {f.family for f in save_figures(summary, tmp_path)} == {"pairs", "variants", "group size", "sensor"}
    assert not (tmp_path / "old.svg").exists()
    assert any("no machine sheet" in line for line in absences(summary))


def test_a_run_that_keeps_a_calibration_shows_what_the_sensor_does_and_the_verdict(saved: list[FigureFile]) -> None:
    shown = next(f for f in saved if f.family == "sensor")
    assert shown.caption.endswith("The plain power value sees all of the time.")
    assert "fitted model" in shown.svg.read_text()


def test_hostile_names_are_inert_text_in_every_figure(tmp_path: Path) -> None:
    summary = renamed(example_summary(), "E2GC G=8", HOSTILE)
    for figure in save_figures(summary, tmp_path):
        root = ET.parse(figure.svg).getroot()
        assert not list(root.iter(f"{SVG}script"))
        assert "\x1b" not in figure.svg.read_text()
        assert "\u202e" not in figure.svg.read_text()
        assert figure.svg.resolve().parent == tmp_path.resolve()
    shown = texts(pair_figure(summary.pairs, PALETTE))
    assert any(text.startswith("$\\frac{a}$<script>alert") for text in shown), "shown, not obeyed"


def test_plain_text_has_no_character_that_acts() -> None:
    assert plain("a\nb\tc  d") == "a b c d"
    assert all(c.isprintable() for c in plain(HOSTILE))
    assert plain("abcdef", 4) == "abc…"


def test_the_pair_figure_draws_each_interval_from_its_lower_to_its_upper_end() -> None:
    pairs = example_summary().pairs
    row = pairs[(pairs["kind"] == "matched") & (pairs["scope"] == "total")].iloc[0]
    ends = whisker_ends(pair_figure(pairs, PALETTE).axes[0])
    assert ends == [pytest.approx((row["energy_ratio_low"], row["energy_ratio_high"]))]


def test_a_pair_that_cannot_be_told_apart_is_hollow() -> None:
    pairs = example_summary().pairs
    line = next(li for li in pair_figure(pairs, PALETTE).axes[0].get_lines() if li.get_marker() not in ("None", ""))
    assert line.get_markerfacecolor() == PAPER  # the same work on the formula device: ratio 1 within 1 %


def test_pairs_apart_in_macs_stand_below_the_others_in_grey_and_the_title_does_not_call_them_matched() -> None:
    pairs = example_summary(full=True).pairs
    totals = pairs[(pairs["kind"] == "matched") & (pairs["scope"] == "total")]
    near = totals[(totals["macs_ratio"] - 1).abs() <= 0.1]
    assert 0 < len(near) < len(totals)
    drawn = pair_figure(pairs, PALETTE)
    (ax,) = drawn.axes
    assert drawn.get_suptitle() == "Energy per inference of declared pairs, matched MACs first"
    points = [line for line in ax.get_lines() if line.get_marker() not in ("None", "")]
    grey = {float(p.get_ydata()[0]) for p in points if p.get_color() == MUTED}
    assert len(grey) == len(totals) - len(near)
    assert min(grey) > max({float(p.get_ydata()[0]) for p in points} - grey)
    assert sum("to be read per MAC" in text for text in texts(drawn)) == 1
    matched, apart = (pairs[pairs["macs_ratio"].isin(rows["macs_ratio"])] for rows in (near, totals.drop(near.index)))
    assert pair_figure(matched, PALETTE).get_suptitle() == "Energy per inference at matched MACs"
    assert pair_figure(apart, PALETTE).get_suptitle() == "Energy per inference of declared pairs, MACs apart"


def test_the_gap_is_labelled_with_actual_over_ideal() -> None:
    # lavin.md, V1: 80 us against 400 us is a gap of 5, 8 us against 160 us one of 20.
    rows = pd.DataFrame({
        "row": "case", "variant": ["M1", "M2"], "batch": 1, "ideal_latency_s": [80e-6, 8e-6],
        "loop_latency_s": [400e-6, 160e-6], "loop_latency_low_s": math.nan, "loop_latency_high_s": math.nan,
    })  # fmt: skip
    figure = latency_gap_figure(rows, Palette.of(["M1", "M2"]))
    assert {"×5.00", "×20.0"} <= set(texts(figure))


def test_the_gap_figure_has_accuracy_upwards_where_it_is_known() -> None:
    rows = example_summary().totals
    figure = latency_gap_figure(rows, PALETTE, accuracy={"FgGC g=8": 72.0, "depthwise": 70.6})
    assert "top-1 accuracy (%)" in texts(figure)


def test_ideal_joules_of_a_total_are_those_of_its_stages_as_often_as_the_network_has_them() -> None:
    summary = example_summary(full=True)
    settings = ("network", "batch", "dtype")
    rows = with_ideal_energy(summary.totals, summary.cases, summary.operators, MACHINE, settings)
    row = rows[(rows["variant"] == BASELINE) & (rows["dtype"] == "float16") & (rows["batch"] == 32)].iloc[0]
    # arithmetic at peak: 2 x MACs x (joules per FLOP + static power / peak), over the batch
    j_per_flop = MACHINE.j_per_flop["float16"] + MACHINE.static_w / MACHINE.peak_flops_per_s["float16"]
    assert row["ideal_energy_per_inference_j"] == pytest.approx(2 * row["macs"] * j_per_flop / 32)
    energy_gap_figure(rows[rows["network"] == "ResNeXt-50"], PALETTE)


def test_the_waterline_shows_eta_and_its_areas_are_the_attainable_time() -> None:
    # lavin.md, V2: R = 100e12, BW = 1e12; ETA 0.526316, ETA_roof 0.689655, 19 ms attainable.
    machine = v2_machine()
    costs = [(8e11, 4e9), (1e11, 1e10), (1e11, 5e8)]
    operators = [OperatorCost("conv2d", "conv_dense", int(n / 2), int(q), 0, "float32") for n, q in costs]
    figure = waterline_figure({"V2": waterline(operators, machine)}, Palette.of(["V2"]))
    assert "attainable 19.0 ms · ETA 0.53 · ETA_roof 0.69 · ρ 100 FLOP/byte" in texts(figure)
    ax = figure.axes[0]
    top = ax.get_ylim()[1]
    assert top > 10, "the tallest bar, mu / tau = 10, fits in"
    area = sum(p.get_width() * p.get_height() for p in ax.patches if isinstance(p, Rectangle))
    assert area == pytest.approx(19)


def test_waterlines_share_height_and_unit_and_a_bar_that_is_cut_says_how_tall_it_is() -> None:
    operators = [OperatorCost("conv2d", "conv_dense", int(n / 2), int(q), 0, "float32", path=path)
                 for n, q, path in [(1e12, 1e9, "body"), (2e9, 4e9, "head")]]  # fmt: skip
    one = waterline(operators, v2_machine(), [20e-3, 5e-3], wall_s=25e-3)
    other = waterline([dataclasses.replace(op, macs=op.macs // 1000) for op in operators[:1]], v2_machine())
    figure = waterline_figure({"one": one, "other": other}, Palette.of(["one", "other"]))
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    assert all("(ms), own reach" in ax.get_xlabel() for ax in figure.axes[-1:])
    # head: 4 ms of memory over 0.02 ms of arithmetic; 10.02 of 14 ms attainable, 14 of 25 ms in kernels that fill it
    assert "head 200×" in texts(figure)
    assert "C 0.40 = attainable 0.72 × kernels 0.56 × busy 1.0" in texts(figure)


def test_a_waterline_without_operator_times_says_so_and_draws_no_measured_level() -> None:
    operators = [OperatorCost("conv2d", "conv_dense", 10**12, 10**9, 0, "float32") for _ in range(2)]
    figure = waterline_figure({"a": waterline(operators, v2_machine(), wall_s=80e-3)}, Palette.of(["a"]))
    assert any("operators were not timed" in text for text in texts(figure))
    assert "lost in the kernel" not in texts(figure)


def test_the_intensity_figure_stands_operators_against_the_balance_and_their_measured_rate() -> None:
    costs = [(8e11, 4e9), (1e11, 1e10), (1e11, 5e8)]
    operators = [OperatorCost("conv2d", "conv_dense", int(n / 2), int(q), 0, "float32") for n, q in costs]
    line = waterline(operators, v2_machine(), [16e-3, 20e-3, 2e-3])
    ax = intensity_figure({"V2": line}, Palette.of(["V2"])).axes[0]
    low = ax.get_ylim()[0]
    bars = [p for p in ax.patches if isinstance(p, Rectangle)]
    assert [p.get_width() for p in bars] == pytest.approx([80, 10, 10])
    assert [p.get_height() + low for p in bars] == pytest.approx([200, 10, 200])
    levels = [float(line.get_ydata()[0]) for line in ax.get_lines()]
    assert levels == pytest.approx([100, 50, 100, 5, 100, 50])  # the balance, and efficiency x balance, of each


def test_the_group_size_figure_marks_the_measured_least_and_every_model() -> None:
    summary = example_summary()
    figure = group_size_figure(summary.cases, summary.operators, summary.group_size, PALETTE)
    row = summary.group_size.iloc[0]
    assert f"least: G = {int(row['measured_optimum'])}" in texts(figure)
    for column in ("thesis_optimum", "physical_optimum", "knee"):
        assert any(set(line.get_xdata()) == {row[column]} for line in figure.axes[0].get_lines())
    assert "energy per inference (log)" in texts(figure)


def test_a_whole_network_has_no_group_size() -> None:
    summary = example_summary()
    with pytest.raises(ValueError, match="no shape was measured at two group sizes"):
        group_size_figure(summary.cases, summary.operators, summary.group_size.iloc[:0], PALETTE)


def test_roofline_points_stand_at_flops_over_bytes_and_flops_over_seconds() -> None:
    summary = example_summary()
    figure = roofline_figure(summary.cases, summary.operators, MACHINE, PALETTE)
    lines = [line for line in figure.axes[0].get_lines() if line.get_gid()]
    drawn = {line.get_gid().split("?")[0]: line.get_xydata()[0] for line in lines}
    for index, row in summary.cases.iterrows():
        expected = (row["flops"] / row["compulsory_bytes"], row["flops"] / row["loop_latency_s"])
        assert drawn[f"case-{index}"] == pytest.approx(expected)
    balance = MACHINE.peak_flops_per_s["float16"] / MACHINE.bandwidth_bytes_per_s
    assert f"balance {balance:.3g}" in texts(figure)


def test_variants_of_the_same_work_are_named_together_where_their_points_cover_each_other() -> None:
    cases = example_summary().cases.head(2).assign(work="same", batch=1)
    figure = roofline_figure(cases, example_summary().operators, MACHINE, PALETTE)
    assert " = ".join(cases["variant"]) in texts(figure)


def test_points_of_the_same_work_are_not_named_where_they_are_many_and_their_tips_name_all() -> None:
    pair = example_summary().cases.head(2).assign(batch=1)
    cases = pd.concat([pair.assign(work=f"work {i}") for i in range(7)], ignore_index=True)
    figure = roofline_figure(cases, example_summary().operators, MACHINE, PALETTE)
    both = " = ".join(pair["variant"])
    assert both not in texts(figure)
    tips = [line.get_gid() for line in figure.axes[0].get_lines() if "?" in (line.get_gid() or "")]
    assert len(tips) == len(cases)
    assert svg_text(figure, "test").count(both) == len(cases)


def test_timed_operators_of_a_network_are_dots_under_the_roof() -> None:
    summary = example_summary()
    case = summary.cases.head(1)
    row = summary.operators[summary.operators["case"] == case["case"].iloc[0]].iloc[[0]]
    two = pd.concat([row.assign(index=0, measured_s=1e-3), row.assign(index=1, measured_s=2e-3)])
    ax = roofline_figure(case, two, MACHINE, PALETTE).axes[0]
    dots = [line.get_xydata()[0] for line in ax.get_lines() if line.get_markersize() < 3 and line.get_gid()]
    flops, traffic = 2 * row["macs"].iloc[0], row["read_bytes"].iloc[0] + row["write_bytes"].iloc[0]
    assert [tuple(dot) for dot in dots] == [pytest.approx((flops / traffic, flops / s)) for s in (1e-3, 2e-3)]


def test_the_power_limit_is_a_named_stretch_of_the_roof_and_both_balances_stand_in_joules() -> None:
    summary = example_summary()
    limited = dataclasses.replace(MACHINE, tdp_w=MACHINE.static_w + 300)
    assert "power limit" in texts(roofline_figure(summary.cases, summary.operators, limited, PALETTE))
    said = texts(energy_roofline_figure(summary.cases, summary.operators, limited, PALETTE))
    assert "power limit" in said
    assert any(text.startswith("time balance") for text in said)
    assert any(text.startswith("energy balance") for text in said)
    free = dataclasses.replace(MACHINE, tdp_w=math.inf)
    assert "power limit" not in texts(roofline_figure(summary.cases, summary.operators, free, PALETTE))


def test_a_legend_is_inside_the_page_and_a_long_subtitle_goes_on_below() -> None:
    summary = example_summary()
    names = {v: f"{v} with a very long name {'W' * 12}" for v in summary.cases["variant"].unique()}
    cases = summary.cases.assign(variant=summary.cases["variant"].map(names))
    long = " · ".join(f"setting number {n} of a long run" for n in range(6))
    figure = roofline_figure(cases, summary.operators, MACHINE, Palette.of(names.values()), subtitle=long)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    below = next(text for text in figure.texts if "setting number 0" in text.get_text())
    assert below.get_text().replace("\n", " ") == long
    assert below.get_window_extent().x1 <= figure.bbox.width


def test_a_case_stands_under_the_roof_of_the_format_it_multiplies_in() -> None:
    summary = example_summary()
    variant = summary.cases["variant"].iloc[0]
    operators = summary.operators.copy()
    mine = operators["case"].isin(summary.cases.loc[summary.cases["variant"] == variant, "case"])
    operators.loc[mine & (operators["macs"] > 0), "dtype"] = "int8"
    figure = roofline_figure(summary.cases, operators, MACHINE, PALETTE)
    panels = {ax.get_title("left"): [line for line in ax.get_lines() if line.get_gid()] for ax in figure.axes}
    expected = (summary.cases["variant"] == variant).sum()
    assert len(panels["int8"]) == expected
    assert len(panels["float16"]) == len(summary.cases) - expected


def test_what_stages_add_sums_to_the_change_of_the_total() -> None:
    summary = example_summary(full=True)
    here = (
        (summary.cases["network"] == "ResNeXt-50")
        & (summary.cases["batch"] == 1)
        & (summary.cases["dtype"] == "float32")
    )
    cases = summary.cases[here]
    pairs = summary.pairs[(summary.pairs["batch"] == 1) & (summary.pairs["dtype"] == "float32")]
    pairs = pairs[pairs["network"] == "ResNeXt-50"]
    ax = contribution_figure(cases, pairs, PALETTE).axes[0]
    widths = [bar.get_width() for bar in ax.patches if isinstance(bar, Rectangle)]
    assert sum(widths[:-1]) == pytest.approx(widths[-1], rel=1e-6)


def test_the_power_figure_shades_each_window_and_draws_its_mean() -> None:
    figure = power_figure(power_trace(), PALETTE, variant="E2GC G=8", place="a place")
    assert "408 W counter mean" in texts(figure)
    assert figure.axes[0].get_ylabel() == "board power (W)"


def test_thinning_keeps_the_ends_and_the_bound() -> None:
    rows = pd.DataFrame({"time_s": np.arange(10_001)})
    kept = thinned(rows, 500)
    assert len(kept) <= 500
    assert (kept["time_s"].iloc[0], kept["time_s"].iloc[-1]) == (0, 10_000)


def v2_machine() -> Machine:
    return dataclasses.replace(
        MACHINE, peak_flops_per_s={"float32": 100e12}, bandwidth_bytes_per_s=1e12, tdp_w=math.inf
    )


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def contrast(one: str, other: str) -> float:
    lights = sorted(float(np.dot([0.2126, 0.7152, 0.0722], rgb(c) ** 2.2)) for c in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_results_csv_alone_gives_a_figure_of_every_variant(tmp_path: Path) -> None:
    summary = example_summary(full=True)
    write_csv(summary.results, tmp_path / "results.csv")
    drawn = variants_figure(pd.read_csv(tmp_path / "results.csv"))
    energy, latency = drawn.axes[:2]
    first = summary.totals[(summary.totals["batch"] == 1) & (summary.totals["dtype"] == "float16")]
    first = first[first["network"] == "MobileNet-V1"]
    for ax, expected in (
        (energy, first["energy_per_inference_j"]),
        (latency, first["loop_latency_s"] / first["batch"]),
    ):
        tips = {line.get_gid(): float(line.get_xdata()[0]) for line in ax.lines if "?" in str(line.get_gid())}
        assert list(tips.values()) == pytest.approx(list(expected))
        for gid, value in tips.items():  # what a point says is where it stands
            unit = "J" if ax is energy else "s"
            assert quantity(value, unit, 2).split()[1] in unquote(gid)
    assert "energy per inference (log" in drawn.axes[-2].get_xlabel()


def test_a_figure_of_every_variant_draws_every_interval_and_no_joules_where_there_are_none() -> None:
    summary = example_summary(energy=False)
    drawn = variants_figure(summary.results)
    assert len(drawn.axes) == 1
    (ax,) = drawn.axes
    whisker = [line for line in ax.lines if len(line.get_xdata()) == 2]
    assert len(whisker) == len(summary.totals)
    low, high = (float(x) for x in whisker[0].get_xdata())
    assert high / low == pytest.approx(1.004 / 0.996)


def test_pairs_with_one_outcome_each_are_named_on_their_row() -> None:
    pairs = example_summary().pairs
    drawn = pair_figure(pairs[(pairs["kind"] == "matched") & (pairs["scope"] == "total")])
    (ax,) = drawn.axes
    assert ax.get_yticklabels()[0].get_text().startswith("E2GC G=8\nagainst FgGC g=32, MACs × ")


@pytest.mark.parametrize("times", [2.0, 1e4])
def test_a_machine_whose_caches_bandwidth_is_known_has_its_roof_drawn_and_named(times: float) -> None:
    """Dotted, as far above memory's slope as the cache is faster; still named where all of it is flat."""
    summary = example_summary()
    known = dataclasses.replace(MACHINE, l2_bandwidth_bytes_per_s=times * MACHINE.bandwidth_bytes_per_s)
    figure = roofline_figure(summary.cases, summary.operators, known, PALETTE)
    for ax in figure.axes:
        (dotted,) = [line for line in ax.lines if line.get_linestyle() == ":"]
        intensity, rate = (float(value) for value in dotted.get_xydata()[0])
        from_cache = times * MACHINE.bandwidth_bytes_per_s * intensity
        assert rate == pytest.approx(min(from_cache, MACHINE.peak_flops_per_s[ax.get_title(loc="left")]))
    without = roofline_figure(summary.cases, summary.operators, MACHINE, PALETTE)
    named = [sum(text.startswith("from L2: ") for text in texts(drawn)) for drawn in (figure, without)]
    assert named == [len(figure.axes), 0]


def test_the_roofline_says_whether_the_cache_has_a_roof_of_its_own() -> None:
    summary = example_summary()
    assert "last-level cache is not on the sheet" in captions.roofline(summary)
    sheet = summary.run.record.machine | {"l2_bandwidth_bytes_per_s": {"value": 1e13, "source": "made up"}}
    record = summary.run.record.model_copy(update={"machine": sheet})
    known = dataclasses.replace(summary, run=dataclasses.replace(summary.run, record=record))
    assert "dotted roof" in captions.roofline(known)
