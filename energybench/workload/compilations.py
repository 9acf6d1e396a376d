"""How many graphs has torch.compile made in this process? A window during which it made one timed the compiler, too."""

from __future__ import annotations

import sys


def compiled_graphs() -> int:
    """Graphs compiled so far, recompilations included; 0 where torch.compile was never used.

    Source: torch/_dynamo/utils.py: ``counters["stats"]["unique_graphs"]`` grows by one with every graph.
    """
    dynamo = sys.modules.get("torch._dynamo.utils")
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo is not None else 0
