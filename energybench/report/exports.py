"""Where else do results go? CSV, JSON, Markdown, HTML and raw readings, at a path or on stdout.

A path that cannot be written is refused before anything is measured; a file is replaced whole, or not at all.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from energybench import columns
from energybench.analysis.comparison import QUANTITIES, Comparison
from energybench.analysis.gate import GateResult
from energybench.analysis.measured import sound_readings
from energybench.analysis.summary import Summary
from energybench.errors import EnergyBenchError
from energybench.flags import FLAGS
from energybench.journal import Run, replace_file
from energybench.report.answer import answer_of
from energybench.report.build import PAGE_FILE
from energybench.report.page_table import results_table
from energybench.report.results_csv import csv_text
from energybench.report.style import plain
from energybench.report.tables import tidy

STDOUT = "-"
READINGS = "readings"
READING_COLUMNS = ("window", "work", "comparison", "block", "time_s", "kind", "value", "native_time_s", "call_s")


def refuse_early(wanted: Mapping[str, str]) -> None:
    """Find out whether every path can be written, without leaving anything behind.

    Args:
        wanted: path by kind, ``-`` for stdout.

    Raises:
        EnergyBenchError: one cannot.
    """
    for kind, name in wanted.items():
        if kind == READINGS and Path(name).suffix not in (".csv", ".parquet"):
            what = "readings are written to a file, as CSV or as Parquet"
            raise EnergyBenchError(what, where=f"--export-readings {name}", remedy="end its name in .csv or .parquet")
        try:
            if name != STDOUT:
                _try(Path(name))
        except OSError as error:
            raise _cannot(kind, name, error) from error
        if kind == READINGS and Path(name).suffix == ".parquet":
            _pyarrow()


def to_stdout(wanted: Mapping[str, str]) -> bool:
    """Whether an export takes the table's place on stdout."""
    return STDOUT in wanted.values()


def export_run(summary: Summary, wanted: Mapping[str, str]) -> None:
    """Write what ``wanted`` asks of a run whose report has been built.

    Args:
        summary: every table of the run.
        wanted: path by kind: ``csv``, ``json``, ``markdown``, ``html``, ``readings``.

    Raises:
        EnergyBenchError: a path can no longer be written.
    """
    makers = {"csv": _run_csv, "json": _run_json, "markdown": _run_markdown, "html": _run_html}
    for kind, name in wanted.items():
        if kind == READINGS:
            _write_readings(summary.run, name)
        else:
            _put(kind, name, makers[kind](summary))


def export_comparison(comparison: Comparison, wanted: Mapping[str, str], gate: GateResult | None = None) -> None:
    """Write what ``wanted`` asks of a comparison: ``csv``, ``json`` (with the verdict of ``gate``) or ``markdown``.

    Raises:
        EnergyBenchError: a path can no longer be written.
    """
    frame = comparison_frame(comparison)
    for kind, name in wanted.items():
        if kind == "csv":
            text = csv_text(frame)
        elif kind == "json":
            text = _json(_comparison_record(comparison, gate) | {"rows": _records(frame)})
        else:
            caveats = "".join(f"\n> {plain(caveat)}\n" for caveat in comparison.caveats)
            text = f"# {' against '.join(map(plain, reversed(comparison.runs)))}\n{caveats}\n" + _markdown_frame(frame)
        _put(kind, name, text)


def _comparison_record(comparison: Comparison, gate: GateResult | None) -> dict[str, Any]:
    """What a comparison says besides its rows: what was not compared, what else differs, and the gate's verdict."""
    return {
        "kind": comparison.kind, "runs": comparison.runs, "devices": comparison.devices, "margin": comparison.margin,
        "caveats": comparison.caveats, "unmatched": [asdict(u) for u in comparison.unmatched],
        "differences": [asdict(d) for d in comparison.differences],
        "gain": asdict(comparison.gain) if comparison.gain else None, "gate": asdict(gate) if gate else None,
    }  # fmt: skip


def comparison_frame(comparison: Comparison) -> pd.DataFrame:
    """One row a case or total of a comparison.

    For each quantity its ratio, 95 % interval, verdict, and the smallest relative change it would have shown.
    """
    rows = []
    for row in comparison.rows:
        cells: dict[str, Any] = {
            "scope": row.scope, "name": row.name, "place": row.place, "variant": row.variant, "against": row.against,
            "matched": row.matched, "macs_ratio": row.macs_ratio,
        }  # fmt: skip
        for quantity in QUANTITIES:
            change = row.change(quantity)
            ends = (change.ratio, change.low, change.high) if change else (None, None, None)
            cells |= dict(zip((f"{quantity}_ratio{end}" for end in ("", "_low", "_high")), ends, strict=True))
            cells[f"{quantity}_verdict"] = change.verdict if change else None
            cells[f"{quantity}_smallest_change"] = change.smallest if change else None
        rows.append(cells | {"note": row.note})
    return pd.DataFrame(rows)


def readings_frame(run: Run) -> pd.DataFrame:
    """Every raw reading of a run's windows, idle among them; ``time_s`` on the run's clock, ``value`` in J or W.

    Windows whose readings are damaged on the disk have none.
    """
    rows = [
        (w.number, w.work, w.comparison, w.block, r.time_s, r.kind, r.value, r.native_time_s, r.call_s)
        for w in run.windows
        for r in sound_readings(run, w)[1]
    ]
    return pd.DataFrame(rows, columns=list(READING_COLUMNS))


def _run_csv(summary: Summary) -> str:
    return csv_text(summary.results)


def _run_html(summary: Summary) -> str:
    return (summary.run.folder / PAGE_FILE).read_text(encoding="utf-8")


def _run_json(summary: Summary) -> str:
    record, said = summary.run.record, answer_of(tidy(summary))
    return _json({
        "schema_version": columns.SCHEMA_VERSION, "energybench_version": record.energybench_version,
        "name": record.name, "origin": summary.run.origin, "created_utc": record.created_utc,
        "complete": record.complete, "device": record.device, "meter": record.meter,
        "answer": {"headline": said.headline, "lines": said.lines, "least": said.least, "certainty": said.certainty,
                   "caveats": said.caveats},
        "results": _records(summary.results), "pairs": _records(summary.pairs),
        "group_size": _records(summary.group_size),
    })  # fmt: skip


def _run_markdown(summary: Summary) -> str:
    summary = tidy(summary)
    said, record = answer_of(summary), summary.run.record
    return (
        "\n".join(
            _markdown_lines(
                summary, said.headline, [*said.lines, *filter(None, [said.least]), *said.caveats], record.name
            )
        )
        + "\n"
    )


def _markdown_lines(summary: Summary, headline: str, more: Sequence[str], name: str) -> Iterator[str]:
    device = summary.run.record.device
    yield f"# {_md(name)} on {_md(device.get('title') or device.get('name') or 'unknown device')}\n"
    if summary.run.origin != "measured":
        yield f"**{summary.run.origin.upper()}: nothing was measured.**\n"
    yield f"**{_md(headline)}**\n"
    yield from (f"- {_md(line)}" for line in more)
    table = results_table(summary)
    totals = [row for row in table.rows if row.is_total]
    yield (
        "\n| "
        + " | ".join(_md(f"{head.name} ({head.unit})" if head.unit else head.name) for head in table.heads)
        + " |"
    )
    yield "|" + "|".join("---:" if head.numeric else "---" for head in table.heads) + "|"
    for row in totals or table.rows:
        yield "| " + " | ".join(_md(cell.text) for cell in row.cells) + " |"
    used = set(" ".join(summary.cases["flags"].fillna("")).split())
    yield "\n" + "; ".join(f"{flag.mark}: {flag.meaning}" for flag in FLAGS.values() if flag.name in used)


def _markdown_frame(frame: pd.DataFrame) -> str:
    def shown(value: object) -> str:
        if isinstance(value, float):
            return f"{value:.4g}" if math.isfinite(value) else ""
        return _md("" if value is None else value)

    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(map(shown, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _md(text: object) -> str:
    """``text`` as Markdown shows it: nothing in a name makes markup or a new cell."""
    shown = plain(text)
    for special in "\\|`*_<>[]":
        shown = shown.replace(special, f"\\{special}")
    return shown


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: _known(value) for name, value in row.items()} for row in frame.to_dict("records")]  # type: ignore[misc]


def _known(value: Any) -> Any:
    """A number JSON has a word for: what is missing or not finite is null."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write_readings(run: Run, name: str) -> None:
    frame, path = readings_frame(run), Path(name)
    try:
        if path.suffix == ".parquet":
            _pyarrow()
            frame.to_parquet(path, index=False)
        else:
            replace_file(path, frame.to_csv(index=False, lineterminator="\n"))
    except OSError as error:
        raise _cannot(READINGS, name, error) from error


def _put(kind: str, name: str, text: str) -> None:
    if name == STDOUT:
        sys.stdout.write(text)
        return
    path = Path(name)
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # a pipe or a device: nothing to replace
        else:
            replace_file(path, text)
    except OSError as error:
        raise _cannot(kind, name, error) from error


def _try(path: Path) -> None:
    """Raise what writing ``path`` would raise."""
    if path.is_dir():
        raise IsADirectoryError(21, os.strerror(21))
    if path.exists():
        if not os.access(path, os.W_OK):
            raise PermissionError(13, os.strerror(13))
        if not path.is_file():
            return
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def _pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise EnergyBenchError(
            "Parquet needs pyarrow", where="--export-readings", remedy="pip install pyarrow, or name the file .csv"
        ) from error


def _cannot(kind: str, name: str, error: OSError) -> EnergyBenchError:
    return EnergyBenchError(
        f"cannot be written: {error.strerror or error}", where=f"--export-{kind} {name}",
        remedy="name a file in a folder that exists and that you may write to",
    )  # fmt: skip
