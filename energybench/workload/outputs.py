"""Does a module return what was planned? The same shapes as on meta tensors, and numbers."""

from __future__ import annotations

import torch

from energybench.errors import CaseError
from energybench.workload.aten import tensors_in
from energybench.workload.build import Built
from energybench.workload.plan import TORCH_DTYPES, WorkPlan


def check_outputs(built: Built, plan: WorkPlan) -> None:
    """Run a module once on its first inputs and look at what it returns.

    Raises:
        CaseError: its shapes are not those that were planned, or it holds NaN.
    """
    with torch.inference_mode(mode=plan.case.mode == "inference"):
        outputs = tuple(tensors_in(built.module(*built.input_sets[0])))
    shapes = tuple(tuple(output.shape) for output in outputs)
    if plan.output_shapes and shapes != plan.output_shapes:
        raise CaseError(
            f"its output has the shape {_shown(shapes)}; planned by shape alone it was {_shown(plan.output_shapes)}, "
            "so that what runs is not what was counted"
        )
    for output in outputs:
        # The largest element is NaN where any is; looking for it allocates next to nothing.
        if output.dtype in TORCH_DTYPES.values() and output.numel() and bool(output.detach().amax().isnan()):
            raise CaseError("its output holds NaN, and arithmetic on NaN draws other power than on numbers")


def _shown(shapes: tuple[tuple[int, ...], ...]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
