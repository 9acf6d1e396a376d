"""The module and inputs of a case on a device, and the function that runs one iteration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from energybench.errors import CaseError, SuiteError
from energybench.suite.cases import Case, TensorSpec
from energybench.workload.aten import tensors_in
from energybench.workload.compilations import lift_the_limit
from energybench.workload.formats import encoded
from energybench.workload.plan import TORCH_DTYPES, Given, WorkPlan, constructed, laid_out, placed
from energybench.workload.rates import Conditional, arranged, realised
from energybench.workload.trace import sgd, train_step

MAX_SETS = 2048
"""Enough sets for 100 MB (twice an H200's L2) of the smallest layers, few enough to be one CUDA graph's nodes."""

InputSet = tuple[Tensor, ...]


@dataclass
class Built:
    """A case ready to run.

    Attributes:
        module: the module, compiled where the case says so.
        input_sets: the inputs iterations rotate through; one where the cache is hot.
        step: runs iteration i, on input set i modulo their number. It neither synchronises nor allocates inputs, so
            that it can be captured in a CUDA graph.
        notes: what a reader of the run must know of it: how often data-dependent work is done.
        cold: whether the input sets together exceed twice the L2, so that no input is found there.
    """

    module: nn.Module
    input_sets: list[InputSet]
    step: Callable[[int], None]
    cold: bool
    notes: tuple[str, ...] = ()


def build(
    plan: WorkPlan, device: torch.device, *, seed: int, plugins: Sequence[str] = (), l2_bytes: float | None = None
) -> Built:
    """Build a case on a device: weights by torch's own initialisation, inputs normal (integers uniform), both seeded.

    Running statistics of untrained batch norms are set from the first input set, as training would have: otherwise
    activations shrink layer by layer to zeros, and zeros cost less energy than numbers.

    Torch's TF32 flags are set for the process: off for float32, on for tf32; products of float16 are summed in float32.
    So is, for compiled cases, how many graphs torch.compile keeps of one class.

    Args:
        plan: what to build.
        device: where.
        seed: of weights and inputs; the weights are the same on every device.
        plugins: the ``--plugin`` arguments.
        l2_bytes: size of the device's L2, for cases that rotate; None where it is not known.

    Raises:
        CaseError: the device has no TF32, or the layer cannot be constructed here.
        UnsupportedError: the device does not have the format of a layer's weights.
    """
    case = plan.case
    if plan.given is not None:
        return _as_given(plan.given, case, l2_bytes)
    if case.compile:
        lift_the_limit()
    _set_arithmetic(case, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = constructed(case, plugins)
        except SuiteError as error:  # on meta tensors it could be constructed: it is this device that it does not fit
            raise CaseError(error.what) from error
        module = placed(module, case, device)
    generator = torch.Generator(device).manual_seed(seed)
    input_sets = [_handed_over(module, case, device, generator)]
    set_bytes = sum(tensor.nbytes for tensor in input_sets[0])
    sets = _number_of_sets(case, set_bytes, l2_bytes)
    input_sets += [_handed_over(module, case, device, generator) for _ in range(1, sets)]
    module.train(case.mode == "training")
    notes: tuple[str, ...] = ()
    if case.mode == "inference":
        _settle_batch_norms(module, input_sets[0])
        notes = realised(module, input_sets)
    runnable: nn.Module = torch.compile(module, dynamic=False) if case.compile else module  # type: ignore[assignment]
    if case.mode == "inference":
        step = _inference_step(runnable, input_sets)
    else:
        step = _training_step(runnable, input_sets, plan, device, generator)
    return Built(runnable, input_sets, step, _is_cold(case, sets * set_bytes, l2_bytes), notes)


def _as_given(given: Given, case: Case, l2_bytes: float | None) -> Built:
    """The module itself, with torch's switches as its owner set them; a rotating cache gets copies of its inputs."""
    set_bytes = sum(tensor.nbytes for tensor in given.inputs)
    sets = _number_of_sets(case, set_bytes, l2_bytes)
    copies = [tuple(tensor.detach().clone() for tensor in given.inputs) for _ in range(sets - 1)]
    input_sets = [given.inputs, *copies]
    cold = _is_cold(case, sets * set_bytes, l2_bytes)
    return Built(given.module, input_sets, _inference_step(given.module, input_sets), cold)


def _number_of_sets(case: Case, set_bytes: int, l2_bytes: float | None) -> int:
    """How many sets of inputs a case rotates through."""
    return 1 if case.cache == "hot" else min(MAX_SETS, max(2, int(2 * (l2_bytes or 0) // max(set_bytes, 1)) + 1))


def _is_cold(case: Case, inputs_bytes: int, l2_bytes: float | None) -> bool:
    """Whether no input can be found in the L2: one of unknown size may hold them all."""
    return case.cache == "rotated" and l2_bytes is not None and inputs_bytes > 2 * l2_bytes


def resident_bytes(plan: WorkPlan, l2_bytes: float | None) -> int:
    """Memory a case needs on a device, estimated: its peak, and every further set of inputs that it rotates through.

    A module that was handed over is there already, with one set of inputs.
    """
    case = plan.case
    set_bytes = sum(_input_bytes(case, spec) for spec in case.inputs)
    needed = plan.peak_memory_bytes + max(_number_of_sets(case, set_bytes, l2_bytes) - 2, 0) * set_bytes
    if plan.given is None:
        return needed
    module = plan.given.module
    there = [*plan.given.inputs, *module.parameters(), *module.buffers()]
    return max(0, needed - sum(tensor.nbytes for tensor in there))


def _input_bytes(case: Case, spec: TensorSpec) -> int:
    """Bytes of one input: token ids are int64."""
    dtype = torch.int64 if spec.integers is not None else TORCH_DTYPES[case.dtype]
    return math.prod(spec.shape) * dtype.itemsize


def _set_arithmetic(case: Case, device: torch.device) -> None:
    if case.dtype == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise CaseError("tf32 exists on NVIDIA GPUs from Ampere on; here it would silently be float32")
    torch.backends.cuda.matmul.allow_tf32 = case.dtype == "tf32"
    torch.backends.cudnn.allow_tf32 = case.dtype == "tf32"
    torch.backends.cuda.matmul.allow_fp16_accumulation = False  # machine sheets' peaks are with float32 accumulation


def _input_set(case: Case, device: torch.device, generator: torch.Generator | None) -> InputSet:
    tensors = []
    for spec in case.inputs:
        if spec.integers is None:
            tensor = torch.randn(spec.shape, generator=generator, device=device, dtype=TORCH_DTYPES[case.dtype])
        else:
            tensor = torch.randint(spec.integers, spec.shape, generator=generator, device=device)
        tensors.append(laid_out(tensor, case))
    return tuple(tensors)


def _handed_over(module: nn.Module, case: Case, device: torch.device, generator: torch.Generator) -> InputSet:
    """A set of inputs with the properties and in the format that the module declares."""
    return arranged(module, encoded(module, _input_set(case, device, generator)), generator)


def _settle_batch_norms(module: nn.Module, inputs: InputSet) -> None:
    """Give batch norms that never saw data the statistics of the inputs, layer by layer in one forward pass."""
    norms = [
        norm
        for norm in module.modules()
        if isinstance(norm, _BatchNorm) and norm.num_batches_tracked is not None and norm.num_batches_tracked == 0
    ]
    if not norms:
        return
    hooks = [norm.register_forward_pre_hook(_take_statistics) for norm in norms]
    run_all: Callable[..., object] = module.run_all if isinstance(module, Conditional) else module
    with torch.no_grad():
        run_all(*inputs)
    for hook in hooks:
        hook.remove()


def _take_statistics(norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
    """Running statistics become those of the input; of a single value per channel there are none to take."""
    x = inputs[0].detach().float()
    if norm.running_mean is None or norm.running_var is None or x.numel() == x.shape[1]:
        return
    axes = [axis for axis in range(x.dim()) if axis != 1]
    norm.running_mean.copy_(x.mean(axes))
    norm.running_var.copy_(x.var(axes, correction=0))


def _inference_step(module: Callable[..., object], input_sets: Sequence[InputSet]) -> Callable[[int], None]:
    def step(i: int) -> None:
        with torch.inference_mode():
            module(*input_sets[i % len(input_sets)])

    return step


def _training_step(
    module: nn.Module,
    input_sets: Sequence[InputSet],
    plan: WorkPlan,
    device: torch.device,
    generator: torch.Generator,
) -> Callable[[int], None]:
    optimizer = sgd([parameter for parameter in module.parameters() if parameter.requires_grad])
    dtype = TORCH_DTYPES[plan.case.dtype]
    gradients = [torch.randn(shape, generator=generator, device=device, dtype=dtype) for shape in plan.output_shapes]

    def step(i: int) -> None:
        inputs = input_sets[i % len(input_sets)]
        train_step(tuple(tensors_in(module(*inputs))), gradients, optimizer)
        for tensor in inputs:
            tensor.grad = None

    return step
