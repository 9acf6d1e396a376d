"""Do two variants compute the same thing? Their outputs compared, given the same weights and inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from energybench.errors import CaseError, one_line
from energybench.workload.aten import tensors_in
from energybench.workload.build import build
from energybench.workload.plan import WorkPlan

TOLERANCES = {"float64": 1e-9, "float32": 1e-4, "tf32": 1e-2, "float16": 1e-2, "bfloat16": 6e-2}
"""Largest difference allowed, relative to the largest output: a few roundings of sums as long as a layer's."""


def disagreement(plan: WorkPlan, baseline: WorkPlan, device: torch.device, *, seed: int, plugins: Sequence[str]) -> str:
    """Why the outputs of ``plan`` are not those of ``baseline``; empty when they agree.

    The baseline's weights are copied by name, else by order, where every shape fits.

    Raises:
        CaseError: one of the two does not run here.
    """
    try:
        theirs, ours = (build(p, device, seed=seed, plugins=plugins) for p in (baseline, plan))
        if problem := _copy_weights(ours.module, theirs.module):
            return problem
        with torch.inference_mode():
            expected = list(tensors_in(theirs.module(*theirs.input_sets[0])))
            found = list(tensors_in(ours.module(*theirs.input_sets[0])))
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise CaseError(one_line(error)) from error
    return _difference(found, expected, TOLERANCES.get(plan.case.dtype, 1e-2), baseline.case.variant)


def _copy_weights(ours: nn.Module, theirs: nn.Module) -> str:
    """Give ``ours`` the state of ``theirs``; returns why that is impossible, or nothing."""
    target, source = ours.state_dict(), theirs.state_dict()
    if target.keys() != source.keys():
        source = dict(zip(target, source.values(), strict=False))
    fits = len(target) == len(source) and all(target[k].shape == source[k].shape for k in target)
    if not fits:
        return "it is declared equivalent to the baseline, but their weights do not correspond in number or shape"
    ours.load_state_dict(source)
    return ""


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float, baseline: str) -> str:
    if [t.shape for t in found] != [t.shape for t in expected]:
        return f"it is declared equivalent to {baseline}, but its outputs have other shapes"
    for ours, theirs in zip(found, expected, strict=True):
        scale = float(theirs.abs().max()) if theirs.numel() else 0.0
        error = float((ours - theirs).abs().max()) if theirs.numel() else 0.0
        if not error <= tolerance * max(scale, 1e-30):
            return (
                f"it is declared equivalent to {baseline}, but differs by {error:.2g} where outputs reach {scale:.2g}; "
                "the joules of other work would say nothing"
            )
    return ""
