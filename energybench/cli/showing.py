"""What there is: list, show, schema. Every other import is late."""

from __future__ import annotations

import click


@click.command("list")
def list_() -> None:
    """The shipped suites, one line each."""
    import shutil
    import sys

    from energybench.cli.listing import suite_lines

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo("\n".join(suite_lines(width)))


@click.command()
@click.argument("suite")
@click.option("--quick", is_flag=True, help="What --quick keeps.")
def show(suite: str, quick: bool) -> None:
    """The cases of a suite, variant by variant, and what it skips."""
    from energybench.cli.listing import listing
    from energybench.suite import load_suite

    click.echo(listing(load_suite(suite), quick=quick))


@click.command()
def schema() -> None:
    """The JSON Schema of suite files, for editors."""
    import json

    from energybench.suite import suite_schema

    click.echo(json.dumps(suite_schema(), indent=2))
