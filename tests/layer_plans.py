"""A layer as a suite would name it, planned and built, for tests of layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from energybench.suite import parse_suite
from energybench.suite.cases import expand
from energybench.workload import WorkPlan, build, plan_workload

CPU = torch.device("cpu")


def plan_of(layer: str, args: str, shape: str, dtype: str = "float32", mode: str = "inference") -> WorkPlan:
    """The plan of one case."""
    text = f"name: t\nbaseline: a\nvariants:\n  a: {{layer: {layer!r}, args: {{{args}}}}}\ninput: {shape}\n"
    (case,), _ = expand(parse_suite(text + f"axes: {{dtype: [{dtype}], mode: [{mode}]}}\n"))
    return plan_workload(case)


def built_layer(layer: str, args: str, shape: str, dtype: str = "float32") -> tuple[nn.Module, Tensor]:
    """The layer on the CPU, packed, and its input, encoded."""
    built = build(plan_of(layer, args, shape, dtype), CPU, seed=0)
    return built.module, built.input_sets[0][0]


def unpacked_weight(C: int, K: int, kernel: int = 1) -> Tensor:
    """The weight that a layer of this shape has under seed 0 before it is packed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Conv2d(C, K, kernel, bias=False).weight.detach()


def float_input(*shape: int) -> Tensor:
    """The input of seed 0 before it is encoded."""
    return torch.randn(shape, generator=torch.Generator(CPU).manual_seed(0))
