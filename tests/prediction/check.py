"""How good are the predictions? Judges them by published latencies.

``make predict-check`` rebuilds docs/prediction.{csv,md,svg,png}; ``make predict-check DATA=folder`` judges other
files of the same layouts, whatever cards, precisions, passes, layouts and modes they hold. A row never judges
constants by rows they were fitted on: the table says on what each was fitted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from boards import board
from data_sets import CHECKOUT, FOLDS, KERNELS, Rows, Timed, data_folder, spio_grouped
from judged import Judged, judged, to_frame
from networks import KEYS, Networks, pairs, timm_networks

from energybench.analysis.fit_latency import fit_latency
from energybench.analysis.kernel_efficiency import Efficiency, load_efficiency
from energybench.analysis.network_latency import TRAINING, network_latency_s
from energybench.analysis.predict import arithmetic_ceiling, predict_work, transferred_latency_s
from energybench.cost import DTYPE_BYTES
from energybench.machine import Machine, attainable_latency_s

DOCS = CHECKOUT / "docs"
CONVOLUTION_SETS = ("tinynas", "deepbench")

FITTED = {"tinynas": ("V100",), "neusight": ("Tesla V100-PCIE-32GB", "NVIDIA A100 80GB PCIe")}
"""Data set -> cards on which the shipped table was fitted, but for the shapes of fold 0: those judge it."""


def judged_rows(folder: Path) -> tuple[list[Judged], list[str]]:
    """The whole table, and a line for everything in ``folder`` that could not be judged."""
    networks, unread = timm_networks(folder)
    sets = {name: load(folder) for name, load in KERNELS.items()}
    rows = [*network_rows(networks)]
    rows += [*other_shape_rows(sets), *other_card_rows(sets), *shipped_rows(sets)]
    return rows, [*unread, *(line for name, found in sets.items() for line in unread_lines(name, found))]


def unread_lines(name: str, rows: Rows) -> Iterator[str]:
    """What could not be read of one data set, a line a reason."""
    for reason, count in rows.unread.items():
        yield f"{name}: {reason}" + (f" ({count} rows not judged)" if count else "")


def network_rows(files: list[Networks]) -> Iterator[Judged]:
    """Whole networks: from another card's latencies, and from the data sheet alone."""
    for source, target in pairs(files):
        both, predicted = transferred(source, target)
        known = f"latencies on the {source.label}"
        asked = 0.095 if source.layout == target.layout else np.nan
        yield from _by_kind(target, known, both.kind, predicted, both.latency_s_target, target=asked)
    for file in files:
        table = file.table
        roofline = (TRAINING if file.mode == "train" else 1.0) * np.maximum(
            2 * table.macs / file.machine.peak_flops_per_s[file.dtype],
            DTYPE_BYTES[file.dtype] * table.activations / file.machine.bandwidth_bytes_per_s,
        )
        yield from _by_kind(
            file, "data sheet alone", table.kind, from_data_sheet(file), table.latency_s, roofline=roofline, target=0.35
        )


def _by_kind(
    judge: Networks,
    known: str,
    kinds: pd.Series,
    predicted: pd.Series,
    measured: pd.Series,
    *,
    roofline: pd.Series | None = None,
    target: float,
) -> Iterator[Judged]:
    """All networks, which the target is for, and then each kind of them."""
    for kind in ["all", *sorted(kinds.unique())]:
        rows = kinds.eq(kind) | (kind == "all")
        where = (f"timm {judge.mode}", f"networks: {kind}", known, judge.label)
        roof = None if roofline is None else roofline[rows]
        asked = target if kind == "all" else np.nan
        yield judged(where, predicted[rows], measured[rows], roofline_s=roof, target=asked)


def transferred(source: Networks, target: Networks) -> tuple[pd.DataFrame, pd.Series]:
    """Networks of both files, and seconds on ``target`` from those on ``source``; the target's are not used."""
    both = source.table.merge(target.table[[*KEYS, "latency_s"]], on=KEYS, suffixes=("", "_target"))
    flops = 2 * both.macs * (TRAINING if source.mode == "train" else 1.0)
    ceiling = arithmetic_ceiling(zip(flops, both.latency_s, strict=True), source.dtype, source.machine)
    predicted = [
        transferred_latency_s(s, f, source.dtype, source.machine, target.machine, ceiling)
        for s, f in zip(both.latency_s, flops, strict=True)
    ]
    return both, pd.Series(predicted, index=both.index, dtype=float)


def from_data_sheet(file: Networks) -> pd.Series:
    """Seconds from MACs, activations and the kind of network alone."""
    efficiency, table = load_efficiency(), file.table
    predicted = [
        network_latency_s(
            macs=macs,
            activations=activations,
            dtype=file.dtype,
            machine=file.machine,
            efficiency=efficiency,
            kind=kind,
            training=file.mode == "train",
        )
        for macs, activations, kind in zip(table.macs, table.activations, table.kind, strict=True)
    ]
    return pd.Series(predicted, index=table.index, dtype=float)


def other_shape_rows(sets: dict[str, Rows]) -> Iterator[Judged]:
    """Every shape predicted by constants fitted on other shapes of the same group and card, in four folds."""
    for data, card, group, mine in _groups(sets):
        found: list[tuple[Timed, float]] = []
        for fold in range(FOLDS):
            rest = [t for t in mine if t.fold != fold]
            left_out = [t for t in mine if t.fold == fold]
            if rest and left_out:
                table = fit(rest)
                found += [(t, seconds(t, table)) for t in left_out]
        if found:
            target = 0.20 if data in CONVOLUTION_SETS else np.nan
            yield _row((data, group, "other shapes, same card", card), found, target)


def other_card_rows(sets: dict[str, Rows]) -> Iterator[Judged]:
    """Every card predicted by constants fitted on the cards of the data set whose generation is nearest."""
    for data, card, group, mine in _groups(sets):
        others = [t for t in sets[data].timed if t.group == group and t.card != card]
        if others:
            table = fit(map(unlimited, nearest(others, mine[0].point.machine)))
            yield _row((data, group, "other cards", card), [(t, seconds(t, table)) for t in mine])


def nearest(timed: Sequence[Timed], machine: Machine) -> list[Timed]:
    """Those on cards of the generation nearest to that of ``machine``: its own where there is one."""

    def distance(t: Timed) -> int:
        return abs(_generation(t.point.machine) - _generation(machine))

    least = min(map(distance, timed))
    return [t for t in timed if distance(t) == least]


def _generation(machine: Machine) -> int:
    return int(machine.compute_capability or 0)


def shipped_rows(sets: dict[str, Rows]) -> Iterator[Judged]:
    """The shipped table on cards it was not fitted on, and on shapes it was not fitted on."""
    shipped = load_efficiency()
    for data, card, group, mine in _groups(sets):
        fitted = board(card) in map(board, FITTED.get(data, ()))
        found = [(t, seconds(t, shipped)) for t in mine if t.fold == 0 or not fitted]
        if found:
            yield _row((data, group, f"shipped table{', other shapes' if fitted else ''}", card), found)
    grouped = [t for t in spio_grouped() if t.point.machine.name == "rtx-4090"]
    yield _row(
        ("spio plot", grouped[0].group, "shipped table", "RTX 4090"), [(t, seconds(t, shipped)) for t in grouped]
    )


def _groups(sets: dict[str, Rows]) -> Iterator[tuple[str, str, str, list[Timed]]]:
    """Data set, card, group and its latencies."""
    for data, rows in sets.items():
        for card, group in sorted({(t.card, t.group) for t in rows.timed}):
            yield data, card, group, [t for t in rows.timed if (t.card, t.group) == (card, group)]


def _row(where: tuple[str, str, str, str], found: Sequence[tuple[Timed, float]], target: float = np.nan) -> Judged:
    roofline = [sum(attainable_latency_s(op, t.point.machine) for op in t.point.operators) for t, _ in found]
    measured = [t.point.latency_s for t, _ in found]
    return judged(where, [s for _, s in found], measured, roofline_s=roofline, target=target)


def fit(timed: Iterable[Timed]) -> Efficiency:
    """Constants that explain the latencies; those for the same card hold its power limit with the rest."""
    return fit_latency([t.point for t in timed], name="fold", source="the others").efficiency


def unlimited(timed: Timed) -> Timed:
    """The latency as one of a board whose peak is what its power limit leaves of it: the limit is no kernel's doing."""
    machine = timed.point.machine
    moving_w = machine.tdp_w - machine.static_w
    peaks = {d: min(peak, moving_w / machine.j_per_flop[d]) for d, peak in machine.peak_flops_per_s.items()}
    return replace(timed, point=replace(timed.point, machine=replace(machine, peak_flops_per_s=peaks)))


def seconds(timed: Timed, table: Efficiency) -> float:
    """Predicted latency as the data set timed it, within the board's power limit."""
    return predict_work(timed.point.operators, timed.point.machine, table, timed.launch).latency_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, write and print the table; 3 where there is nothing to judge."""
    parser = argparse.ArgumentParser(description="Judge predictions by published latencies.")
    parser.add_argument("data", nargs="?", type=Path, help="folder of the data sets [../shared/data, ENERGYBENCH_DATA]")
    parser.add_argument("--output", type=Path, help="folder for prediction.csv [docs, with page and figures]")
    options = parser.parse_args(arguments)
    folder = options.data or data_folder()
    if not folder.is_dir():
        sys.stderr.write(f"no data sets under {folder}: name their folder, or set ENERGYBENCH_DATA\n")
        return 3
    rows, unread = judged_rows(folder)
    frame = to_frame(rows)
    sys.stdout.write(frame.to_string(index=False) + "\n")
    sys.stdout.write("".join(f"not judged: {line}\n" for line in unread))
    missed = frame[frame.mape > frame.target]
    sys.stdout.write(f"{len(missed)} of {frame.target.notna().sum()} targets missed\n")
    _write(frame, folder, options.output)
    return 0


def _write(frame: pd.DataFrame, folder: Path, output: Path | None) -> None:
    """The table; and where no folder is named, the documentation's page and figures."""
    target = output or DOCS
    target.mkdir(parents=True, exist_ok=True)
    frame.to_csv(target / "prediction.csv", index=False)
    if output is None:
        from pages import write_page  # only here: it draws

        files = {file.label: file for file in timm_networks(folder)[0]}
        source, judge = files["rtx-3090 nchw"], files["rtx-4090 nchw"]
        write_page(DOCS, frame, judge.table, transferred(source, judge), from_data_sheet(judge))
    sys.stdout.write(f"written: {target / 'prediction.csv'}\n")


if __name__ == "__main__":
    sys.exit(main())
