"""What does a kernel cost that PyTorch does not know? Closed forms of custom operators, registered by their name.

A trace on meta tensors sees only operators with shape rules. A layer whose kernel has none wraps it as a custom
operator, gives that a fake implementation (the shapes of what it returns) and registers a closed form here::

    @torch.library.custom_op("energybench::csr_matmul", mutates_args=())
    def csr_matmul(values: Tensor, ...) -> Tensor: ...

    @csr_matmul.register_fake
    def _(values, ...): return x.new_empty(...)

    @kernel_cost("energybench::csr_matmul")
    def _(arguments, outputs): return (OperatorCost(...),)

From there on it is counted, identified by its shapes, profiled, compiled and captured like any operator of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from energybench.cost import DTYPE_BYTES, Operand, OperatorCost

if TYPE_CHECKING:
    import torch
    from torch import Tensor

KernelForm = Callable[[Sequence[Any], Sequence["Tensor"]], tuple[OperatorCost, ...]]
"""Costs of one call from its positional arguments and the tensors it returned; several where it runs several kernels.

Only shapes and number formats may be read: the tensors have no values where costs are counted.
"""

_FORMS: dict[str, KernelForm] = {}


def kernel_cost(operator: str) -> Callable[[KernelForm], KernelForm]:
    """Register the decorated closed form for a custom operator, ``namespace::name``."""

    def register(form: KernelForm) -> KernelForm:
        _FORMS[operator] = form
        return form

    return register


def kernel_form(operator: str) -> KernelForm | None:
    """The closed form registered for ``namespace::name``; None where there is none."""
    return _FORMS.get(operator)


def operand(tensor: Tensor) -> Operand:
    """Shape and number format of a tensor, counting only elements that exist (broadcast ones do not)."""
    shape = tuple(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or size == 0)
    return Operand(shape, dtype_name(tensor.dtype))


def dtype_name(dtype: torch.dtype) -> str:
    """The project's word for a torch number format; the eight-bit floats are one."""
    name = str(dtype).removeprefix("torch.")
    name = "float8" if name.startswith("float8") else name
    if name not in DTYPE_BYTES:
        raise NotImplementedError(f"tensors of {dtype} have no size in energybench.cost.DTYPE_BYTES")
    return name
