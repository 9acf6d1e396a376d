"""How does a module that already exists become work? Planned on a meta copy, run as it is on copies of its inputs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from energybench.cost import OperatorCost
from energybench.errors import EnergyBenchError
from energybench.suite.cases import Case
from energybench.workload.plan import TORCH_DTYPES, Given, WorkPlan, plan_traced
from energybench.workload.trace import Trace, trace


def as_modules(modules: Mapping[str, object]) -> dict[str, nn.Module]:
    """Named modules.

    Raises:
        EnergyBenchError: there is none, one has no name, or one is something else that can be called.
    """
    if not modules:
        raise EnergyBenchError(
            "there is no module to measure",
            where="energybench.measure",
            remedy='energybench.measure({"mine": module}, x)',
        )
    found: dict[str, nn.Module] = {}
    for name, module in modules.items():
        if not isinstance(name, str) or not name:
            raise EnergyBenchError(f"a module is called {name!r}, not by text", where="energybench.measure")
        if not isinstance(module, nn.Module):
            raise EnergyBenchError(
                f"{name} is a {type(module).__name__}, not a torch.nn.Module",
                where="energybench.measure",
                why="what is measured has parameters, a mode and a device",
                remedy="call the function in the forward of a module, e.g. torch.nn.ReLU() for torch.relu",
            )
        found[name] = module
    return found


def as_tensors(inputs: object) -> tuple[Tensor, ...]:
    """The inputs of a module as a tuple of tensors.

    Raises:
        EnergyBenchError: they are none, or one of them has no axis.
    """
    given = tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)
    tensors = tuple(x for x in given if isinstance(x, Tensor) and x.dim() > 0)
    if not given or len(tensors) < len(given):
        raise EnergyBenchError(
            "inputs must be tensors with at least one axis",
            where="energybench.measure",
            why="the first axis of the first one counts inferences",
            remedy="energybench.measure(module, (x, y))",
        )
    return tensors


def dtype_label(modules: Iterable[nn.Module], inputs: Sequence[Tensor]) -> str:
    """The number format that work is labelled with: the inputs', else the weights'; tf32 where torch is set to it."""
    weights = [parameter for module in modules for parameter in module.parameters()]
    found = next((t.dtype for t in [*inputs, *weights] if t.is_floating_point()), torch.float32)
    if found == torch.float32 and _multiplies_in_tf32(inputs[0].device):
        return "tf32"
    return next((name for name, dtype in TORCH_DTYPES.items() if dtype == found), "float32")


def _multiplies_in_tf32(device: torch.device) -> bool:
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    return torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32


def plan_given(case: Case, module: nn.Module, inputs: Sequence[Tensor]) -> WorkPlan:
    """What a module does to inputs, counted on a copy that holds no values; the module itself is not run.

    A module that cannot run without values (its control flow looks at them, or a kernel has no shape rule) is one
    operator of unknown cost, named after its class: it can be measured, but not be compared with a model.

    Args:
        case: the case it stands for; inference.
        module: where it will run. Of a compiled one the operators before compilation are counted.
        inputs: what it will be given.
    """
    original = getattr(module, "_orig_mod", module)
    meta_inputs = [torch.empty_like(tensor, device="meta") for tensor in inputs]
    untraced: Exception | None = None
    try:
        traced = trace(_without_values(original), meta_inputs, training=False, tf32=case.dtype == "tf32")
    except Exception as error:  # noqa: BLE001  (whatever a user's module raises where it has no values)
        traced, untraced = _untraced(original, inputs), error.with_traceback(None)
    return plan_traced(case, original, inputs, traced, given=Given(module, tuple(inputs), untraced))


def _without_values(module: nn.Module) -> nn.Module:
    """A copy on the meta device; no values are copied on the way, so it costs no memory."""
    memo: dict[int, object] = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad)
        for parameter in module.parameters()
    }
    memo |= {id(buffer): torch.empty_like(buffer, device="meta") for buffer in module.buffers()}
    return copy.deepcopy(module, memo)


def _untraced(module: nn.Module, inputs: Sequence[Tensor]) -> Trace:
    read_bytes = sum(tensor.nbytes for tensor in [*inputs, *module.parameters(), *module.buffers()])
    name = type(module).__name__
    unknown = OperatorCost(name, "other", macs=0, read_bytes=read_bytes, write_bytes=0, known=False)
    return Trace((unknown,), (f"{name}, not traced",), (), 0)
