"""Which operators does a module run? A trace on meta tensors: shapes only, no memory, no values.

Forward, or forward, backward and optimizer step, exactly as they are dispatched. Two functions that devices run as one
kernel decompose on meta tensors. Scaled dot-product attention is taken whole on both ways (``attention``), RMS norm on
the way forward; its gradient is counted as the operators it decomposes into.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.module_tracker import ModuleTracker

from energybench import cost
from energybench.cost import OperatorCost
from energybench.cost.kernels import dtype_name, operand
from energybench.workload.aten import is_free, operator_costs, tensors_in
from energybench.workload.attention import ATTENTION, fused_attention
from energybench.workload.layouts import as_laid_out_on_devices


@dataclass(frozen=True)
class Trace:
    """What a module does in one iteration.

    Attributes:
        operators: in order of execution.
        signature: one line an operator: name, shapes, strides, number formats, other arguments. Equal signatures
            are the same work.
        outputs: shape and number format of what the module returns.
        peak_bytes: most memory held at once by what operators allocate (outputs, saved activations, gradients).
    """

    operators: tuple[OperatorCost, ...]
    signature: tuple[str, ...]
    outputs: tuple[Tensor, ...]
    peak_bytes: int


def trace(module: nn.Module, inputs: Sequence[Tensor], *, training: bool, tf32: bool = False) -> Trace:
    """Run a module on meta tensors and record its operators.

    Args:
        module: on the meta device.
        inputs: meta tensors; in training, those that require a gradient get one.
        training: forward, backward and an SGD step instead of a forward pass in evaluation mode.
        tf32: label float32 convolutions and matrix products as tf32.

    Raises:
        Exception: whatever the module raises when it cannot run on these shapes.
    """
    module.train(training)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    tracker = ModuleTracker()
    weights = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    recorder = _Recorder(tracker, weights, tf32=tf32)
    with tracker, recorder, _Fused(recorder), torch.set_grad_enabled(training):
        outputs = tuple(tensors_in(module(*inputs)))
        if training:
            train_step(outputs, [torch.empty_like(output) for output in outputs], sgd(parameters))
    return Trace(tuple(recorder.operators), tuple(recorder.signature), outputs, recorder.memory.peak_bytes)


def sgd(parameters: Sequence[nn.Parameter]) -> torch.optim.SGD:
    """The optimizer of training mode: plain SGD, one multi-tensor kernel, no state.

    Every parameter and its gradient are read and the parameter is written: three passes and no MACs. A suite can name
    no other optimizer. Adam would read and write two states more: four passes that a training step here does not have.

    The learning rate is 0: the same work, but weights keep their distribution however long one measures.

    Raises:
        ValueError: there is nothing to train.
    """
    if not parameters:
        raise ValueError("nothing to train: there are no parameters")
    return torch.optim.SGD(parameters, lr=0.0, foreach=True)


def train_step(outputs: Sequence[Tensor], gradients: Sequence[Tensor], optimizer: torch.optim.SGD) -> None:
    """Backward from given output gradients, SGD step, gradients dropped."""
    pairs = [(y, dy) for y, dy in zip(outputs, gradients, strict=True) if y.requires_grad]
    torch.autograd.backward([y for y, _ in pairs], [dy for _, dy in pairs])
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


class _Recorder(TorchDispatchMode):
    """Notes every operator that reaches a device.

    A network repeats itself, and torch's shape rules are slow Python: an operator that returns fresh tensors is asked
    for their shapes once, and after that they are made from what it said.
    """

    def __init__(self, tracker: ModuleTracker, weights: Collection[int], *, tf32: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[OperatorCost] = []
        self.signature: list[str] = []
        self.memory = _Memory()
        self.paused = False
        self._tracker = tracker
        self._weights = weights
        self._tf32 = tf32
        self._costs: dict[str, tuple[OperatorCost, ...]] = {}
        self._results: dict[str, Any] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Asked by torch (2.13 does): to hide this mode from its compiler it would import it, which takes seconds."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if self.paused:
            return func(*args, **keywords)
        if is_free(func):
            result = func(*args, **keywords)
            self.memory.see(result)
            return result
        line = f"{func} {_described((args, keywords))}"
        if line in self._results:
            result = _made_like(self._results[line])
        else:
            result = as_laid_out_on_devices(func, args, func(*args, **keywords))
            if not any(returned.alias_info for returned in func._schema.returns):
                self._results[line] = _layouts(result)
        self.memory.see(result)
        if line not in self._costs:
            self._costs[line] = operator_costs(func, args, keywords, result)
        self.note(line, self._costs[line], (args, keywords))
        return result

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Neither count nor hold what runs meanwhile: on devices it is inside one kernel."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False

    def note(self, line: str, costs: Sequence[OperatorCost], arguments: Any) -> None:
        """Append operators, with where in the module they ran and how much of what they read are weights."""
        mine = {t for t in tensors_in(arguments) if t.untyped_storage()._cdata in self._weights}
        weight_bytes = sum(operand(tensor).bytes for tensor in mine)
        if len(costs) == 1:  # a call of several kernels has closed forms that know which of them reads the weight
            costs = [replace(costs[0], weight_bytes=min(weight_bytes, costs[0].read_bytes))]
        deepest = max(self._tracker.parents - {"Global"}, key=len, default="")
        path = deepest.partition(".")[2]
        self.signature.append(line)
        for found in costs:
            tf32 = self._tf32 and found.macs > 0 and found.dtype == "float32"
            self.operators.append(replace(found, path=path, dtype="tf32" if tf32 else found.dtype))


class _Fused(TorchFunctionMode):
    """Takes functions that devices run as one kernel before they decompose.

    A function of torch's that calls such a one hides it, because torch takes the mode off while it is inside: there the
    name it calls is bound to the mode for as long.
    """

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if func is F.multi_head_attention_forward:
            with self._unhidden("scaled_dot_product_attention"):
                return func(*args, **keywords)
        recorder = self._recorder
        if recorder.paused or func not in (ATTENTION, F.rms_norm):
            return func(*args, **keywords)
        line = f"{func.__name__} {_described((args, keywords))}"
        if func is ATTENTION:
            return fused_attention(recorder, line, args, keywords)
        with recorder.whole():
            result = func(*args, **keywords)
        recorder.memory.see(result)
        recorder.note(line, [_rms_norm(result, *args, **keywords)], (args, keywords))
        return result

    @contextmanager
    def _unhidden(self, name: str) -> Iterator[None]:
        """Bind a function of ``torch.nn.functional`` to the mode while another one that calls it runs."""
        plain = getattr(F, name)
        setattr(F, name, lambda *args, **keywords: self.__torch_function__(plain, (), args, keywords))
        try:
            yield
        finally:
            setattr(F, name, plain)


class _Memory:
    """Bytes of storages that are alive, to about one per cent."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._live: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._bound_bytes = 0

    def see(self, result: Any) -> None:
        """Count storages not seen before; look for dead ones only when the peak might move."""
        for tensor in tensors_in(result):
            storage = tensor.untyped_storage()
            known = self._live.get(storage._cdata)
            if known is not None and known[0]() is storage:
                continue
            size = storage.nbytes()
            self._live[storage._cdata] = (weakref.ref(storage), size)
            self._bound_bytes += size
        if self._bound_bytes > self.peak_bytes * 1.01:
            self._live = {key: entry for key, entry in self._live.items() if entry[0]() is not None}
            self._bound_bytes = sum(size for _, size in self._live.values())
            self.peak_bytes = max(self.peak_bytes, self._bound_bytes)


def _rms_norm(result: Tensor, x: Tensor, _: Any, weight: Tensor | None = None, *__: Any, **___: Any) -> OperatorCost:
    inputs = [operand(tensor) for tensor in (x, weight) if tensor is not None]
    return cost.normalisation_cost(inputs=inputs, outputs=[operand(result)], name="rms_norm")


def _layouts(result: Any) -> Any:
    """Everything needed to make a result like this one: shapes, strides and number formats, in the same nesting."""
    if isinstance(result, Tensor):
        return tuple(result.shape), result.stride(), result.dtype
    return [_layouts(item) for item in result] if isinstance(result, tuple | list) else None


def _made_like(layouts: Any) -> Any:
    if layouts is None:
        return None
    if isinstance(layouts, tuple):
        shape, stride, dtype = layouts
        return torch.empty_strided(shape, stride, dtype=dtype, device="meta")
    return [_made_like(item) for item in layouts]


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{dtype_name(value.dtype)}{list(value.shape)}@{list(value.stride())}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}={_described(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "(" + ",".join(_described(item) for item in value) + ")"
    return str(value)
