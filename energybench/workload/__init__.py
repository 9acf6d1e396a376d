"""A case made runnable: what it must do (counted on meta tensors), and the module and inputs that do it."""

from __future__ import annotations

from energybench.workload.build import Built, build, resident_bytes
from energybench.workload.compilations import check_compiled, compiled_graphs
from energybench.workload.equivalence import disagreement
from energybench.workload.outputs import check_outputs
from energybench.workload.plan import WorkPlan, plan_workload

__all__ = [
    "Built",
    "WorkPlan",
    "build",
    "check_compiled",
    "check_outputs",
    "compiled_graphs",
    "disagreement",
    "plan_workload",
    "resident_bytes",
]
