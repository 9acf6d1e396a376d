"""Is what torch.compile was asked to compile compiled, and when does it compile?

Dynamo keeps a few graphs of one function and runs every further shape of it eagerly, without a word. A suite asks for
the same layer at many shapes in one process, so the limit is lifted, and whether a case is compiled is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import torch
from torch import nn

from energybench.errors import CaseError

UNLIMITED = 10**6


def compiled_graphs() -> int:
    """Graphs compiled so far, recompilations included; 0 where torch.compile was never used.

    A window during which it grew timed the compiler, too.

    Source: torch/_dynamo/utils.py: ``counters["stats"]["unique_graphs"]`` grows by one with every graph.
    """
    dynamo = sys.modules.get("torch._dynamo.utils")
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo is not None else 0


def lift_the_limit() -> None:
    """Let torch.compile keep a graph of every case; by default the ninth of one class would run eagerly.

    Source: torch/_dynamo/config.py (``recompile_limit``, ``accumulated_recompile_limit``) and cache_size.py.
    """
    torch._dynamo.config.recompile_limit = UNLIMITED
    torch._dynamo.config.accumulated_recompile_limit = UNLIMITED


def check_compiled(module: nn.Module, step: Callable[[int], None], graphs: int) -> None:
    """Look whether a warm compiled module runs what was compiled of it.

    A module of the same structure as an earlier one shares its graph, so that a missing new graph proves nothing; what
    does is that Python runs the very ``forward`` that a graph should stand for.

    Args:
        module: what torch.compile returned, run at least once.
        step: runs one iteration of it.
        graphs: how many there were before it was warmed up.

    Raises:
        CaseError: no graph stands for it.
    """
    original = getattr(module, "_orig_mod", module)
    if compiled_graphs() == graphs and _runs_in_python(getattr(type(original).forward, "__code__", None), step):
        raise CaseError(
            "torch.compile made no graph of it, so that it would run eagerly and be reported as compiled; "
            "TORCH_LOGS=graph_breaks says why"
        )


def _runs_in_python(code: object, step: Callable[[int], None]) -> bool:
    """Whether one iteration runs a function as it was written; a compiled one has other code."""
    seen = False

    def look(frame: FrameType, event: str, _: object) -> None:
        nonlocal seen
        seen = seen or (event == "call" and frame.f_code is code)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        step(0)
    finally:
        sys.setprofile(before)
    return seen
