"""What do suite keys, columns, commands and machine sheets mean? Reference pages, written from the code that decides.

python docs/generate.py            writes docs/reference/*.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from energybench import columns
from energybench.cli import main
from energybench.flags import FLAGS
from energybench.machine import list_machines, load_machine
from energybench.suite import list_suites, suite_schema
from energybench.suite.cases import expand

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py (make docs): change the code it is made from instead. -->"

UNIONS = {
    frozenset({"true or false", "whole number", "number", "text"}): "value",
    frozenset({"whole number", "text"}): "number or `$field`",
    frozenset({"list of number or `$field`", "input"}): "shape or input",
    frozenset({"value", "names to value"}): "value or fields",
}
"""Short words for the unions that the schema spells out."""


def pages() -> dict[str, str]:
    """Every reference page, by file name."""
    made = {
        "suite.md": _suite_page(suite_schema()),
        "columns.md": _columns_page(),
        "cli.md": "\n".join(_cli_page()),
        "machines.md": "\n".join(_machines_page()),
        "shipped_suites.md": "\n".join(_suites_page()),
    }
    return {name: f"{NOTE}\n\n{text.rstrip()}\n" for name, text in made.items()}


def _suite_page(schema: dict[str, Any]) -> str:
    lines = [
        "# Keys of a suite",
        "",
        "A suite is a YAML file. `energybench schema` prints its JSON Schema, for editors; `energybench show SUITE`",
        "what a suite comes to. Unknown keys are mistakes, and every mistake is reported with file, line and field.",
        "",
        *_keys_table(schema),
    ]
    titles = {
        "Variant": "A variant",
        "TensorInput": "An input",
        "Skip": "A skip",
        "Method": "Method",
        "Accuracy": "Accuracy",
    }
    extra = {
        "Skip": "Any field of the axes, with the value it must equal, is a key too.",
        "TensorInput": "A list is short for `{shape: [...]}`.",
    }
    for name, title in titles.items():
        definition = schema["$defs"][name]
        lines += ["", f"## {title}", "", _plain(definition.get("description", "")), ""]
        if name in extra:
            lines += [extra[name], ""]
        lines += _keys_table(definition)
    return "\n".join(lines)


def _keys_table(definition: dict[str, Any]) -> list[str]:
    required = set(definition.get("required", []))
    lines = ["| key | is | default | meaning |", "|---|---|---|---|"]
    for key, said in definition["properties"].items():
        default = "required" if key in required else _default(said)
        lines.append(f"| `{key}` | {_type(said)} | {default} | {_plain(said.get('description', ''))} |")
    return lines


def _default(said: dict[str, Any]) -> str:
    value = said.get("default")
    if value in (None, "", [], {}) or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(said: dict[str, Any]) -> str:
    """What a value may be, in a word or two."""
    if "const" in said:
        return f"`{said['const']}`"
    if "enum" in said:
        return " or ".join(f"`{value}`" for value in said["enum"])
    if "$ref" in said:
        return said["$ref"].rpartition("/")[2].removeprefix("Tensor").lower()
    options = said.get("anyOf") or said.get("oneOf")
    if options:
        words = tuple(dict.fromkeys(_type(option) for option in options if option.get("type") != "null"))
        return UNIONS.get(frozenset(words), " or ".join(words))
    kind = said.get("type", "any")
    if kind == "array":
        return f"list of {_type(said.get('items', {}))}"
    if kind == "object":
        inner = said.get("additionalProperties")
        return f"names to {_type(inner)}" if isinstance(inner, dict) and inner else "names to values"
    return {"string": "text", "boolean": "true or false", "integer": "whole number"}.get(kind, kind)


def _columns_page() -> str:
    tables = (
        ("results.csv", "One row a case and one a total; `summary.cases`, `summary.totals`.", columns.RESULTS),
        ("Pairs", "A variant against its partner; `summary.pairs`.", columns.PAIRS),
        ("Operators", "One row an operator of a case; `summary.operators`.", columns.OPERATORS),
        ("Group size", "One row a shape; `summary.group_size`.", columns.GROUP_SIZE),
        ("Windows", "One row a measured window; `summary.windows`.", columns.WINDOWS),
    )
    lines = [
        "# Columns",
        "",
        "Base units, the unit last in the name. A column may be added; a column never changes its meaning. Every field",
        "of a suite's axes is a column of `results.csv` too.",
    ]
    for title, about, dictionary in tables:
        lines += ["", f"## {title}", "", about, "", columns.markdown_table(dictionary)]
    lines += ["", "## Flags", "", "Words in the column `flags`.", "", "| flag | means | what helps |", "|---|---|---|"]
    lines += [f"| `{name}` | {_cell(flag.meaning)} | {_cell(flag.remedy)} |" for name, flag in FLAGS.items()]
    return "\n".join(lines)


def _cli_page() -> Iterator[str]:
    yield from ("# The command line", "", "Progress goes to stderr, results to stdout. Every option can be set by an")
    yield from ("environment variable too: `ENERGYBENCH_RUN_PRECISION=2%` is `energybench run --precision 2%`.", "")
    yield from _command_lines("energybench", main)
    yield from (
        "## Exit status",
        "",
        "| status | means |",
        "|--:|---|",
        "| 0 | done |",
        "| 1 | a gate failed |",
        "| 2 | a usage or suite error |",
        "| 3 | a device or meter that was asked for is not usable; `doctor`: energy cannot be measured |",
        "| 4 | ran, but cases failed or missed the wanted precision (never for `--quick`, never for having no meter) |",
        "| 130 | interrupted |",
    )


def _command_lines(path: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command_lines(f"{path} {name}", inner)
        if not command.invoke_without_command:
            return
    context = click.Context(command, info_name=path)
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield from (f"## {path.removeprefix('energybench ')}", "", f"`{usage}`", "")
    yield from (_plain(command.help or ""), "")
    if options:
        yield from ("| option | does |", "|---|---|")
        for option in options:
            record = option.get_help_record(context)
            if record is not None:
                yield f"| {_code_cell(record[0])} | {_cell(record[1])} |"
        yield ""


def _suites_page() -> Iterator[str]:
    yield from (
        "# Shipped suites",
        "",
        "`energybench run NAME` measures one; `energybench show NAME` lists its cases.",
        "",
    )
    for suite in list_suites():
        cases, skipped = expand(suite)
        quick, _ = expand(suite, quick=True)
        left_out = f", {len(skipped)} left out with their reasons" if skipped else ""
        stop = "" if suite.about.endswith("?") else "."
        yield from (f"## {suite.name}", "", _plain(suite.about) + stop, "")
        yield f"{len(cases)} cases{left_out}; {len(quick)} with `--quick`. Baseline: `{suite.baseline}`."
        yield from ("", "| variant | layer | matched in MACs with |", "|---|---|---|")
        for name, variant in suite.variants.items():
            yield f"| {_cell(name)} | `{variant.layer}` | {_cell(variant.pair or '')} |"
        yield from ("", "| axis | values |", "|---|---|")
        for axis, entries in suite.entries.items():
            yield f"| `{axis}` | {_values(axis, entries)} |"
        yield ""


def _values(axis: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """The values of a plain axis; how many, and with which fields, of one whose fields move together."""
    if all(set(entry) == {axis} for entry in entries):
        return ", ".join(_cell(str(entry[axis])) for entry in entries)
    fields = dict.fromkeys(field for entry in entries for field in entry)
    return f"{len(entries)} of {', '.join(f'`{field}`' for field in fields)}"


def _machines_page() -> Iterator[str]:
    yield from (
        "# Machine sheets",
        "",
        "What a device can do: dense peaks with float32 accumulation, bandwidth, power. Every number in a sheet",
        "(`energybench/machines/*.yaml`) names its source, and its doubt where there is one. `energybench machines",
        "measure` measures a sheet ([how](../machines.md)), `energybench fit RUN` fits unit energies to a run.",
        "",
        "*fp16 sums* is the peak where products of float16 are also summed in float16, if a source tells it.",
        "PyTorch sums them in float32 unless it is told not to, so nothing is predicted with it.",
        "",
        "| sheet | device | fp32 TFLOP/s | fp16 TFLOP/s | fp16 sums TFLOP/s | int8 TOP/s | DRAM GB/s | L2 MiB | TDP W "
        "| static W | pJ/B |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    )
    for name in list_machines():
        m = load_machine(name)
        known = (
            m.peak_flops_per_s.get("float32"),
            m.peak_flops_per_s.get("float16"),
            m.float16_accumulate_peak_flops_per_s.get("float16"),
            m.peak_flops_per_s.get("int8"),
        )
        peaks = (_scaled(peak, 1e-12) for peak in known)
        rest = (
            _scaled(m.bandwidth_bytes_per_s, 1e-9),
            _scaled(m.l2_bytes, 1 / 2**20),
            _scaled(m.tdp_w, 1),
            _scaled(m.static_w, 1),
            _scaled(m.j_per_byte, 1e12),
        )
        yield f"| `{m.name}` | {m.title} | {' | '.join([*peaks, *rest])} |"


def _scaled(value: float | None, factor: float) -> str:
    return "" if value is None else f"{value * factor:,.4g}"


def _plain(text: str) -> str:
    """Prose of a docstring as one Markdown paragraph."""
    text = text.replace("\b", "").replace("``", "`")
    text = re.sub(r":\w+:`([^`]*)`", r"`\1`", text)
    return _cell(" ".join(text.split()))


def _code_cell(text: str) -> str:
    """Code in a table; a bar in it would end the cell, and only HTML can say it without a backslash."""
    return f"`{text}`" if "|" not in text else f"<code>{text.replace('|', '&#124;')}</code>"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
