"""How long do whole networks take? timm's benchmark files: whatever cards, layouts and modes lie in the folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from boards import board
from data_sets import read_columns

from energybench.analysis.network_latency import NetworkKind
from energybench.machine import Machine

FILE = re.compile(
    r"benchmark-(?P<mode>infer|train)-(?P<format>[a-z0-9_]+)-(?P<layout>nchw|nhwc)-pt\w+-cu\w+-(?P<card>.+)"
)
FORMATS: Mapping[str, str] = {"amp": "float16", "amp_bfloat16": "bfloat16", "fp32": "float32"}
"""What a file's name calls its arithmetic -> data type of its matrix products."""

KEYS = ["model", "img_size"]


TRANSFORMERS = re.compile(
    "beit|cait|coat_|crossvit|davit|deit|efficientformer|eva|flexivit|focalnet|gcvit|gmixer|gmlp|hiera|levit|maxxvit|"
    "mixer|mvitv|nest|pit|pvt|resmlp|samvit|sequencer|swin|tnt|twins|visformer|vit|volo|xcit"
)
DEPTHWISE = re.compile(
    "convformer|convnext|eca_efficientnet|edgenext|efficientnet|efficientvit_b|efficientvit_l|fastvit|fbnet|"
    "gc_efficientnet|ghostnet|hardcorenas|inception_next|lcnet|mixnet|mnasnet|mobilenet|mobileone|mobilevit|"
    "repghostnet|repvit|rexnet|semnasnet|spnasnet|starnet|tf_efficientnet|tf_mixnet|tf_mobilenet|tinynet"
)


def network_kind(name: str) -> NetworkKind:
    """``transformer``, ``depthwise`` (mobile networks and ConvNeXts) or ``convolution``, by the name's beginning."""
    if DEPTHWISE.match(name):
        return "depthwise"
    return "transformer" if TRANSFORMERS.match(name) else "convolution"


@dataclass(frozen=True)
class Networks:
    """One file: networks timed on one card.

    Attributes:
        mode: ``infer`` or ``train``.
        layout: ``nchw`` or ``nhwc``.
        dtype: of the arithmetic.
        machine: the card.
        table: a row a network: ``model``, ``img_size``, ``kind``, and per image ``macs`` and ``activations`` of the
            forward pass, and the seconds ``latency_s``.
    """

    mode: str
    layout: str
    dtype: str
    machine: Machine
    table: pd.DataFrame

    @property
    def label(self) -> str:
        """Card and layout, as the table names them."""
        return f"{self.machine.name} {self.layout}"


def timm_networks(folder: Path) -> tuple[list[Networks], list[str]]:
    """Every readable file of ``folder``/timm, and a line for each that is not."""
    found, unread = [], []
    counted: pd.DataFrame | None = None
    for path in sorted((folder / "timm").glob("benchmark-*.csv")):  # infer before train: those hold the counts
        networks = _file(path, counted)
        if isinstance(networks, str):
            unread.append(f"{path.name}: {networks}")
            continue
        found.append(networks)
        counts = networks.table[[*KEYS, "macs", "activations"]]
        counted = counts if counted is None else pd.concat([counted, counts]).drop_duplicates(KEYS)
    return found, unread


def pairs(files: list[Networks]) -> Iterator[tuple[Networks, Networks]]:
    """Every step from one card to another within a mode and a number format, whatever the layouts."""
    for source in files:
        for target in files:
            if (source.mode, source.dtype) == (target.mode, target.dtype) and source.machine != target.machine:
                yield source, target


def _file(path: Path, counted: pd.DataFrame | None) -> Networks | str:
    """The file, or why it cannot be read; files of training steps have no counts of their own."""
    named = FILE.fullmatch(path.stem)
    if not named:
        return "its name does not say mode, format, layout and card"
    mode, machine, dtype = named["mode"], board(named["card"]), FORMATS.get(named["format"])
    if machine is None:
        return f"no machine is known for the card {named['card']!r}"
    if dtype is None:
        return f"no data type is known for {named['format']!r}"
    frame, problem = read_columns(path, ["model", f"{mode}_img_size", f"{mode}_samples_per_sec"])
    if frame is None:
        return problem
    table = frame.rename(columns={f"{mode}_img_size": "img_size"})
    if f"{mode}_gmacs" in table and f"{mode}_macts" in table:
        table["macs"], table["activations"] = table[f"{mode}_gmacs"] * 1e9, table[f"{mode}_macts"] * 1e6
    elif counted is not None:
        table = table.merge(counted, on=KEYS)
    else:
        return "it has no MACs and activations, nor has any file of inference here"
    table["kind"] = table.model.map(network_kind)
    table["latency_s"] = 1 / table[f"{mode}_samples_per_sec"]
    wanted = [*KEYS, "kind", "macs", "activations", "latency_s"]
    return Networks(mode, named["layout"], dtype, machine, table[wanted].dropna().drop_duplicates(KEYS))
