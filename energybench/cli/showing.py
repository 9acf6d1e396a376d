"""What there is: list, show, schema. Every other import is late."""

from __future__ import annotations

import click


@click.command("list")
def list_() -> None:
    """The shipped suites, one line each."""
    from energybench.expand import expand
    from energybench.suite import list_suites

    for suite in list_suites():
        cases, _ = expand(suite)
        click.echo(f"{suite.name:18} {len(cases):5} cases  {suite.about}")


@click.command()
@click.argument("suite")
@click.option("--quick", is_flag=True, help="What --quick keeps.")
def show(suite: str, quick: bool) -> None:
    """The cases of a suite, variant by variant, and what it skips."""
    from energybench.listing import listing
    from energybench.suite import load_suite

    click.echo(listing(load_suite(suite), quick=quick))


@click.command()
def schema() -> None:
    """The JSON Schema of suite files, for editors."""
    import json

    from energybench.suite import suite_schema

    click.echo(json.dumps(suite_schema(), indent=2))
