"""What must a case do? Its operators, bytes, memory and identity, found by shape before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from energybench.catalogue import is_foreign, is_network
from energybench.cost import OperatorCost
from energybench.cost.fusion import epilogues_fused
from energybench.errors import SuiteError, one_line
from energybench.resolve import check_arguments, resolve_layer
from energybench.suite.cases import Case
from energybench.workload.formats import encoded, pack, packed_layers
from energybench.workload.trace import Trace, trace

TORCH_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
"""Number formats of a case; tf32 is how float32 tensors are multiplied."""

MOST = 2**63
"""Counts of one iteration stay below: what tables and run folders hold."""


@dataclass(frozen=True)
class Given:
    """A module that already exists, with the inputs it is to be measured on; both on the device they run on.

    ``untraced`` is what it raised where it had no values; None where shapes suffice to run it.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    untraced: Exception | None = None


@dataclass(frozen=True)
class WorkPlan:
    """What a case must do in one iteration, counted on meta tensors.

    Attributes:
        case: the case.
        operators: in order of execution; in training mode the backward pass and the SGD step too. Of a compiled case
            epilogues have joined their kernels (``epilogues_fused``): the least that a compiler does. Whatever else it
            fuses is not known without running it.
        macs: multiply-accumulates of all operators.
        params: elements of all parameters; of packed layers the weights they store.
        compulsory_bytes: inputs, parameters (with buffers such as running statistics) and outputs, each moved once;
            in training also the gradients at both ends, and parameters written. Never more than ``eager_bytes``:
            of an embedding only the rows that are picked count.
        eager_bytes: sum over operators of what each must move, run one by one.
        peak_memory_bytes: estimate: weights, two sets of inputs, and the activations alive at once. Workspaces
            of kernels are not in it, nor further sets to rotate through (`resident_bytes` adds them).
        output_shapes: what the module returns.
        unknown: operators without a closed form, named; their MACs are missing above.
        work: identity of the work. Cases with the same one launch the same kernels on the same shapes and are
            measured once.
        given: the module itself, where it was handed over and is not to be built from the case.
    """

    case: Case
    operators: tuple[OperatorCost, ...]
    macs: int
    params: int
    compulsory_bytes: int
    eager_bytes: int
    peak_memory_bytes: int
    output_shapes: tuple[tuple[int, ...], ...]
    unknown: tuple[str, ...]
    work: str
    given: Given | None = field(default=None, compare=False, repr=False)


def plan_workload(case: Case, *, plugins: Sequence[str] = ()) -> WorkPlan:
    """Build a case on meta tensors and count what it does.

    Raises:
        SuiteError: its layer may not be named, cannot be constructed, or does not run on these shapes; the message
            names file, line, field and case.
    """
    with torch.device("meta"):
        module = constructed(case, plugins)
        inputs = tuple(_meta_input(case, index) for index in range(len(case.inputs)))
    try:
        module = placed(module, case, torch.device("meta"))
        inputs = encoded(module, inputs)
        traced = trace(module, inputs, training=case.mode == "training", tf32=case.dtype == "tf32")
    except Exception as error:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in case.inputs)
        raise case.error(
            f"{case.layer} does not run on inputs of shape {shapes}: {one_line(error)}",
            remedy="correct input: or args:, or skip this case",
        ) from error
    plan = plan_traced(case, module, inputs, traced)
    if max(plan.macs, plan.eager_bytes) >= MOST:
        raise case.error(
            f"{case.layer} would do {plan.macs:.2g} MACs on {plan.eager_bytes:.2g} bytes: no machine ends that",
            remedy="correct input: or args:, or skip this case",
        )
    return plan


def constructed(case: Case, plugins: Sequence[str]) -> nn.Module:
    """The module of a case, made on torch's current default device.

    Raises:
        SuiteError: its name may not be used, or its arguments do not fit.
    """
    try:
        factory = resolve_layer(case.layer, plugins)
    except SuiteError as error:
        raise case.error(error.what, why=error.why, remedy=error.remedy) from error
    if problem := check_arguments(factory, case.args):
        raise case.error(problem[1], argument=problem[0])
    try:
        return factory(**case.args)
    except Exception as error:
        what = f"{case.layer} cannot be constructed: {one_line(error)}"
        raise case.error(what, remedy="correct args:, or skip this case") from error


def placed(module: nn.Module, case: Case, device: torch.device) -> nn.Module:
    """The module on a device, in the case's number format and layout; layers with a format of their own packed.

    Raises:
        UnsupportedError: the device does not have one of the formats.
    """
    module = module.to(device=device, dtype=TORCH_DTYPES[case.dtype])
    if case.layout == "channels_last":
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pack(module)
    return module


def laid_out(tensor: Tensor, case: Case) -> Tensor:
    """An input in the case's layout, and requiring a gradient where training would compute one.

    A layer is trained as inside a network, so it also owes the gradient of its input; a network does not.
    """
    if case.layout == "channels_last" and tensor.dim() == 4:
        tensor = tensor.to(memory_format=torch.channels_last)
    wanted = case.mode == "training" and tensor.is_floating_point() and not is_network(case.layer)
    return tensor.requires_grad_(wanted)


def _meta_input(case: Case, index: int) -> Tensor:
    spec = case.inputs[index]
    dtype = TORCH_DTYPES[case.dtype] if spec.integers is None else torch.int64
    return laid_out(torch.empty(spec.shape, dtype=dtype), case)


def plan_traced(
    case: Case, module: nn.Module, inputs: Sequence[Tensor], traced: Trace, *, given: Given | None = None
) -> WorkPlan:
    """What a traced case must do, in sum: MACs, bytes, memory, identity."""
    training = case.mode == "training"
    parameters = list(module.parameters())
    input_bytes = sum(tensor.nbytes for tensor in inputs)
    parameter_bytes = sum(tensor.nbytes for tensor in parameters)
    weight_bytes = parameter_bytes + sum(tensor.nbytes for tensor in module.buffers())
    compulsory = input_bytes + weight_bytes + sum(tensor.nbytes for tensor in traced.outputs)
    if training:
        compulsory += parameter_bytes + sum(tensor.nbytes for tensor in traced.outputs)
        compulsory += sum(tensor.nbytes for tensor in inputs if tensor.requires_grad)
    eager_bytes = sum(operator.bytes for operator in traced.operators)
    unknown = tuple(dict.fromkeys(operator.name for operator in traced.operators if not operator.known))
    return WorkPlan(
        case=case,
        operators=epilogues_fused(traced.operators) if case.compile else traced.operators,
        macs=sum(operator.macs for operator in traced.operators),
        params=sum(tensor.numel() for tensor in parameters) + sum(p.stored_weights for p in packed_layers(module)),
        compulsory_bytes=min(compulsory, eager_bytes) if traced.operators else compulsory,
        eager_bytes=eager_bytes,
        peak_memory_bytes=weight_bytes + 2 * input_bytes + traced.peak_bytes,
        output_shapes=tuple(tuple(tensor.shape) for tensor in traced.outputs),
        unknown=unknown,
        work=_identity(case, module, traced, unknown),
        given=given,
    )


def _identity(case: Case, module: nn.Module, traced: Trace, unknown: Sequence[str]) -> str:
    """Hash of everything that decides which kernels run on what; names and groupings of arguments do not."""
    facts = {
        "operators": traced.signature,
        "parameters": [[list(tensor.shape), str(tensor.dtype)] for tensor in module.parameters()],
        "inputs": [[spec.shape, spec.integers] for spec in case.inputs],
        "options": [case.dtype, case.layout, case.mode, case.cache, case.compile],
        # Of a layer that is neither ours nor torch's only its operators are known, not the values they work on.
        "layer": [case.layer, dict(case.args)] if unknown or is_foreign(case.layer) else [],
    }
    if patterns := [layer.value_pattern for layer in packed_layers(module)]:
        facts["patterns"] = patterns
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
