"""What must a group of operators do when one kernel runs it? The same arithmetic, and no intermediate in memory.

A fused kernel keeps what one member hands to the next on the chip. What is left of the traffic is the group's boundary:
its input, all weights, its output. Recomputed halos and intermediates that do not fit on the chip are not counted, as
compulsory bytes never count what an implementation adds.

Source: A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617, for blocks as single kernels
with their boundary's bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from energybench.cost import OperatorCost

JOINED = "+"
"""Between the names of operators that are one kernel."""


def fused(operators: Sequence[OperatorCost], *, outside_bytes: int = 0) -> OperatorCost:
    """A chain of operators as one: each reads what the one before it wrote.

    MACs add up. Read are the inputs and weights of the first operator and the weights (``weight_bytes``) of all others;
    written is what the last one writes. A residual that is the chain's own input is there already and costs nothing.
    Kernel class (family, groups, filter, number format) is that of the member with most MACs, else with most bytes.

    Args:
        operators: in execution order, at least one.
        outside_bytes: further inputs that no member wrote and that are not the first one's: a residual from elsewhere.

    Raises:
        ValueError: there is no operator, or members with multiply-accumulates differ in number format, so that no
            single peak holds for them.
    """
    if not operators:
        raise ValueError("a fused group has at least one operator")
    formats = {op.dtype for op in operators if op.macs}
    if len(formats) > 1:
        raise ValueError(f"operators that multiply in {' and '.join(sorted(formats))} cannot be one kernel")
    first, *others = operators
    main = max(operators, key=lambda op: (op.macs, op.bytes))
    return replace(
        main,
        name=JOINED.join(op.name for op in operators),
        macs=sum(op.macs for op in operators),
        read_bytes=first.read_bytes + sum(op.weight_bytes for op in others) + outside_bytes,
        write_bytes=operators[-1].write_bytes,
        weight_bytes=sum(op.weight_bytes for op in operators),
        path=_common_path(operators),
        known=all(op.known for op in operators),
    )


def epilogues_fused(operators: Sequence[OperatorCost]) -> tuple[OperatorCost, ...]:
    """The sequence as an inference compiler would run it: what only passes over a result joins the kernel that made it.

    Every operator with multiply-accumulates takes along the batch normalisations and elementwise operators behind it,
    for as long as each reads at least what the one before it wrote; further inputs (a residual) are read. Which tensors
    an operator reads is not recorded, only how many bytes: an intermediate that something later reads again is counted
    at that later read, its write is not. A training pass, which must keep intermediates, is returned as it is.
    """
    if any("backward" in op.name or op.name.endswith("_gradient") for op in operators):
        return tuple(operators)
    found: list[OperatorCost] = []
    group: list[OperatorCost] = []
    outside_bytes = 0
    for op in operators:
        more_bytes = op.read_bytes - op.weight_bytes - group[-1].write_bytes if group else -1
        if _passes_over(op) and more_bytes >= 0:
            group.append(op)
            outside_bytes += more_bytes
            continue
        if group:
            found.append(fused(group, outside_bytes=outside_bytes))
        group, outside_bytes = ([op], 0) if op.macs else ([], 0)
        if not op.macs:
            found.append(op)
    if group:
        found.append(fused(group, outside_bytes=outside_bytes))
    return tuple(found)


def is_fused(operator: OperatorCost) -> bool:
    """Whether ``operator`` stands for several that one kernel runs."""
    return JOINED in operator.name


def _passes_over(op: OperatorCost) -> bool:
    return op.known and not op.macs and (op.family == "elementwise" or op.name == "batch_norm")


def _common_path(operators: Sequence[OperatorCost]) -> str:
    """The module that contains all of them: ``blocks.3`` of ``blocks.3.conv`` and ``blocks.3.bn``."""
    levels = zip(*(op.path.split(".") for op in operators), strict=False)
    return ".".join(level[0] for level in takewhile(lambda names: len(set(names)) == 1, levels))
