"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from typing import Any

import click

from energybench import __version__
from energybench.cli import measuring, modelling, reading, running, showing
from energybench.errors import EnergyBenchError


class Commands(click.Group):
    """A group that shows our errors as they are, without a traceback, with their own exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an EnergyBenchError becomes its message on stderr and its exit code."""
        try:
            return super().invoke(ctx)
        except EnergyBenchError as error:
            click.echo(f"energybench: {_printable(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("energybench: interrupted", err=True)
            ctx.exit(running.EXIT_INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(0)


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "ENERGYBENCH"}
)
@click.version_option(__version__, prog_name="energybench")
def main() -> None:
    """Joules and latency of GPU layers, with intervals one can believe.

    \b
    energybench run gconv              measure a suite (on a simulated H200 where there is no GPU)
    energybench report results/RUN     rebuild the report of a run from its folder
    energybench doctor                 is this device fit to be measured
    energybench compare RUN RUN        what changed between two runs, with a gate for CI
    energybench model group-size ...   the analytic side
    """  # noqa: D301  (click reads the \b)


def _printable(text: str) -> str:
    """Text without control characters, which a hostile name could send to the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


for command in (
    running.run,
    reading.report,
    reading.compare,
    measuring.doctor,
    measuring.calibrate,
    modelling.model,
    modelling.predict,
    reading.fit,
    showing.list_,
    showing.show,
    showing.schema,
    modelling.machines,
):
    main.add_command(command)
