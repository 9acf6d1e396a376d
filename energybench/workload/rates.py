"""How often does a module do what depends on its data? Declared by the suite, made true of the inputs, and checked.

The cost of conditional work is an expectation over the data. Here the data are made so that an event happens exactly
as often as the suite declares, so that the joules of an iteration *are* that expectation and the interval is the
measurement's alone. Where nothing has values (counting, simulated boards) the declared rates are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from energybench.errors import CaseError

HALF_AN_EVENT = 0.5 + 1e-9
"""Largest difference from a declared rate, in events: they come whole."""


@runtime_checkable
class Conditional(Protocol):
    """A module whose work depends on what its input holds, not on its shape alone.

    On meta tensors its forward pass does as much of everything as the declared rates say.

    Attributes:
        rates: how often each event happens, as declared: event to a share from 0 to 1.
        events: how often each happened in the last forward pass on real numbers, and out of how many.
    """

    rates: Mapping[str, float]
    events: Mapping[str, tuple[int, int]]

    def arrange_input(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """An input that has the declared properties, made of one that is random."""

    def run_all(self, x: Tensor) -> None:
        """Run every part once on all of an input, whatever the data say: statistics of batch norms are taken here."""

    def calibrate(self, x: Tensor) -> None:
        """Set what the module itself decides by (a threshold), so that the declared rates hold on ``x``."""


def arranged(module: nn.Module, inputs: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    """``inputs`` with the properties that ``module`` declares; unchanged for modules without conditions."""
    if not isinstance(module, Conditional):
        return inputs
    x, *others = inputs
    return (module.arrange_input(x, generator), *others)


def realised(module: nn.Module, input_sets: Sequence[tuple[Tensor, ...]]) -> tuple[str, ...]:
    """Calibrate a conditional module on its input, run it once, and say in words how often each event happened.

    Returns:
        A note for the run; nothing for modules without conditions.

    Raises:
        CaseError: an event happened more or less often than declared, by more than rounding to whole events; or there
            are several sets of inputs, on which one threshold cannot hold the rates.
    """
    if not isinstance(module, Conditional):
        return ()
    if len(input_sets) > 1:
        what = "its rates are set on one set of inputs, and this case rotates through several"
        raise CaseError(what, remedy="cache: hot")
    x = input_sets[0][0]
    with torch.no_grad():
        module.calibrate(x)
        module(x)
    for event, (times, of) in module.events.items():
        if abs(times - module.rates[event] * of) > HALF_AN_EVENT:
            raise CaseError(
                f"{event} happened {times} times in {of}, which is not the declared rate of {module.rates[event]:g}",
                why="the joules would be those of other data than the suite states",
                remedy="a rate that whole inputs can have, or more inputs an iteration",
            )
    return tuple(f"{event}: {times} of {of} an iteration" for event, (times, of) in module.events.items())
