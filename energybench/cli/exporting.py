"""--export-KIND PATH: the same options on every command that has results to give."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from energybench.analysis.summary import Summary

F = TypeVar("F", bound=Callable[..., Any])

HELP = {
    "csv": "Write the rows as CSV to PATH, or to stdout instead of the table.",
    "json": "Write answer, rows and pairs as JSON.",
    "markdown": "Write answer and table as Markdown.",
    "html": "Write the page.",
    "readings": "Write every raw meter reading, as .csv or .parquet by the name of PATH.",
}
PREFIX = "export_"


def export_options(*kinds: str) -> Callable[[F], F]:
    """A decorator that adds ``--export-KIND`` for each of ``kinds`` to a command."""

    def decorate(command: F) -> F:
        for kind in reversed(kinds):
            target = "PATH" if kind == "readings" else "PATH|-"
            command = click.option(f"--export-{kind}", metavar=target, help=HELP[kind])(command)
        return command

    return decorate


def exports_taken(options: dict[str, Any], *, results: int = 1) -> dict[str, str]:
    """Take the export options out of ``options``: path by kind, checked before anything is measured.

    Args:
        options: what click parsed.
        results: how many runs the command will have; one path takes one.

    Raises:
        click.UsageError: several runs, or several exports, want one path.
        EnergyBenchError: a path cannot be written.
    """
    given = [name for name in options if name.startswith(PREFIX)]
    wanted = {name.removeprefix(PREFIX): path for name in given if (path := options.pop(name)) is not None}
    if not wanted:
        return {}
    if results > 1:
        raise click.UsageError("--export-... takes one run; give one, or leave it out")
    if len(set(wanted.values())) < len(wanted):
        raise click.UsageError("two exports want the same path")
    from energybench.report.exports import refuse_early

    refuse_early(wanted)
    return wanted


def show(summary: Summary, exports: dict[str, str]) -> None:
    """Print a run, unless an export takes the table's place on stdout, and write its exports."""
    from energybench.report.exports import export_run, to_stdout
    from energybench.report.terminal import print_summary

    if not to_stdout(exports):
        print_summary(summary)
    export_run(summary, exports)
