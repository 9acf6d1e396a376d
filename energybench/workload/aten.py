"""Which closed form of ``energybench.cost`` is an operator of PyTorch? Read off its tensors, on whatever device.

Views cost nothing. What no closed form covers is returned with ``known=False``: its bytes are those of its tensors, its
MACs are unknown, and it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from energybench import cost
from energybench.cost import Operand, OperatorCost
from energybench.cost.attention import attention_backward_cost
from energybench.cost.kernels import KernelForm, dtype_name, kernel_form, operand
from energybench.workload.attention import attention_of

Arguments = Sequence[Any]

_FREE = {
    "_unsafe_view", "unsafe_split", "as_strided_",
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided",
}  # fmt: skip
"""No kernel, though the schema does not say that the output is a view."""

_NORMALISATIONS = """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_with_update
    _batch_norm_no_update cudnn_batch_norm native_batch_norm_backward batch_norm_backward native_layer_norm
    native_layer_norm_backward native_group_norm native_group_norm_backward _fused_rms_norm _fused_rms_norm_backward
    _softmax _softmax_backward_data _log_softmax _log_softmax_backward_data _safe_softmax
"""
_POOLINGS = """
    max_pool2d_with_indices max_pool2d_with_indices_backward max_pool3d_with_indices max_pool3d_with_indices_backward
    avg_pool2d avg_pool2d_backward avg_pool3d avg_pool3d_backward _adaptive_avg_pool2d _adaptive_avg_pool2d_backward
    _adaptive_avg_pool3d _adaptive_avg_pool3d_backward adaptive_max_pool2d adaptive_max_pool2d_backward
    adaptive_max_pool3d adaptive_max_pool3d_backward
"""
_REDUCTIONS = """
    sum mean amax amin max min any all prod var var_mean std std_mean norm linalg_vector_norm argmax argmin logsumexp
    cumsum topk sort
"""
_COPIES = """
    clone _to_copy copy_ cat stack index_put index_put_ repeat roll flip constant_pad_nd reflection_pad2d
    reflection_pad2d_backward replication_pad2d replication_pad2d_backward im2col col2im pixel_shuffle pixel_unshuffle
    channel_shuffle native_channel_shuffle zeros zeros_like ones ones_like full full_like new_zeros new_ones new_full
    scalar_tensor arange fill fill_ zero_ tril triu slice_backward select_backward unfold_backward scatter
    embedding_dense_backward
"""
_ELEMENTWISE = """
    hardswish hardswish_ hardswish_backward hardsigmoid_backward glu glu_backward _prelu_kernel _prelu_kernel_backward
    native_dropout native_dropout_backward bernoulli_ upsample_nearest2d upsample_nearest2d_backward
    upsample_bilinear2d upsample_bilinear2d_backward upsample_bicubic2d upsample_bicubic2d_backward
    log_sigmoid_forward log_sigmoid_backward elu_backward hardtanh_backward leaky_relu_backward softplus_backward
    mish_backward
"""
_GATHERS = "embedding index_select index gather"

_UNREAD = frozenset([
    "copy_", "fill_", "zero_", "bernoulli_", "_foreach_copy_", "_foreach_zero_",
    "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
])  # fmt: skip
"""Their first argument is written and not read, or says only how large the result is."""

_NAMES = {"_to_copy": "cast", "cat": "concatenate", "max_pool2d_with_indices": "max_pool2d", "_safe_softmax": "softmax"}


def is_free(function: torch._ops.OpOverload) -> bool:
    """Whether an operator launches nothing: a view, memory taken and not written, or a mark for the profiler."""
    returns = function._schema.returns
    view = any(out.alias_info is not None and not out.alias_info.is_write for out in returns)
    return view or function.overloadpacket.__name__ in _FREE or function.namespace == "profiler"


def operator_costs(
    function: torch._ops.OpOverload, arguments: Arguments, keywords: Mapping[str, Any], result: Any
) -> tuple[OperatorCost, ...]:
    """The cost of one call of an operator that is not free; several where it stands for several kernels."""
    name = function.overloadpacket.__name__
    outputs = list(tensors_in(result))
    form = kernel_form(function._schema.name) or _FORMS.get(name)
    if form is not None:
        return form(arguments, outputs)
    inputs = list(tensors_in((arguments[1:] if name in _UNREAD else arguments, keywords)))
    family = _FAMILIES.get(name)
    if family is None and (torch.Tag.pointwise in function.tags or name.startswith("_foreach_")):
        family = cost.elementwise_cost
        outputs = outputs or _first_list(arguments)
    reads, writes = _operands(inputs), [operand(output) for output in outputs]
    if family is None or not writes:
        found = cost.copy_cost(inputs=reads, outputs=writes or [Operand((0,))], name=str(function))
        return (replace(found, family="other", known=False),)
    return (family(inputs=reads, outputs=writes, name=_plain(name)),)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


def _operands(tensors: Sequence[Tensor]) -> list[Operand]:
    """What is read, each once: a matrix and its transpose are one piece of memory."""
    distinct = {(t.untyped_storage()._cdata, t.storage_offset(), t.numel(), t.dtype): t for t in tensors}
    return [operand(tensor) for tensor in distinct.values()]


def _convolution(arguments: Arguments, outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    x, weight, bias, stride, _, _, transposed, _, groups = arguments[:9]
    forward = _forward(x, weight, outputs[0], stride, transposed=transposed, groups=groups, bias=bias is not None)
    return (forward,)


def _convolution_backward(arguments: Arguments, _: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    y, x, weight, _, stride, _, _, transposed, _, groups, gradients = arguments[:11]
    forward = _forward(x, weight, y, stride, transposed=transposed, groups=groups, bias=False)
    y_operand = Operand(tuple(y.shape), dtype_name(y.dtype))
    return cost.convolution_backward_cost(
        forward, x=operand(x), weight=operand(weight), y=y_operand, gradients=gradients
    )


def _forward(
    x: Tensor, weight: Tensor, y: Tensor, stride: Sequence[int], *, transposed: bool, groups: int, bias: bool
) -> OperatorCost:
    return cost.convolution_cost(
        input_shape=x.shape,
        weight_shape=weight.shape,
        output_shape=y.shape,
        groups=groups,
        stride=max(stride),
        transposed=transposed,
        bias=bias,
        dtype=dtype_name(x.dtype),
    )


def _addmm(arguments: Arguments, outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    addend, a, b = arguments[:3]
    (rows, features), columns = a.shape, b.shape[-1]
    linear = cost.linear_cost(rows=rows, in_features=features, out_features=columns, dtype=dtype_name(a.dtype))
    return (_with_traffic(linear, [addend, a, b], outputs),)


def _matmul(addends: int, arguments: Arguments, outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    operands = arguments[: addends + 2]
    a, b = operands[addends:]
    M, K = a.shape[-2:] if a.dim() > 1 else (1, a.shape[0])
    N = b.shape[-1] if b.dim() > 1 else 1
    matmul = cost.matmul_cost(M=M, N=N, K=K, batch=prod(a.shape[:-2]), dtype=dtype_name(a.dtype))
    return (_with_traffic(matmul, operands, outputs),)


def _scaled_matmul(arguments: Arguments, outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """A product of eight-bit floats, and the scales it reads."""
    (product,) = _matmul(0, arguments, outputs)
    return (_with_traffic(product, list(tensors_in(arguments)), outputs),)


def _attention_backward(causal_at: int, arguments: Arguments, _: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """The gradients of fused attention, as devices call them: result's gradient, queries, keys, values, ..."""
    query, key, value = arguments[1:4]
    return (attention_backward_cost(attention_of(query, key, value, None, causal=bool(arguments[causal_at]))),)


def _with_traffic(found: OperatorCost, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> OperatorCost:
    """The same operator with the bytes of its actual tensors, which may be broadcast or of several formats."""
    read_bytes = sum(item.bytes for item in _operands(inputs))
    return replace(found, read_bytes=read_bytes, write_bytes=sum(operand(out).bytes for out in outputs))


def _gather(name: str, arguments: Arguments, outputs: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """Only the rows that are picked are read, and the integers that pick them."""
    picked = [operand(tensor) for tensor in tensors_in(arguments[1:]) if not tensor.is_floating_point()]
    written = [operand(output) for output in outputs]
    return (cost.copy_cost(inputs=[*written, *picked], outputs=written, name=name),)


def _put(arguments: Arguments, _: Sequence[Tensor]) -> tuple[OperatorCost, ...]:
    """Only the places that are picked are written (and read, where values are added to them)."""
    _, indices, values, accumulate = (*arguments, False)[:4]
    picked = [operand(tensor) for tensor in tensors_in(indices)]
    written = operand(values)
    read = [written, *picked, *([written] if accumulate else [])]
    return (cost.copy_cost(inputs=read, outputs=[written], name="index_put"),)


def _first_list(arguments: Arguments) -> list[Tensor]:
    """The tensors an in-place multi-tensor operator writes; its schema returns nothing."""
    return list(tensors_in(arguments[0])) if arguments else []


def _plain(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    return name.removeprefix("_foreach").strip("_").removeprefix("native_")


_FORMS: Mapping[str, KernelForm] = {
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "addmm": _addmm,
    "addmv": partial(_matmul, 1),
    "baddbmm": partial(_matmul, 1),
    "mm": partial(_matmul, 0),
    "bmm": partial(_matmul, 0),
    "mv": partial(_matmul, 0),
    "dot": partial(_matmul, 0),
    "_int_mm": partial(_matmul, 0),
    "vdot": partial(_matmul, 0),
    "index_put_": _put,
    "_scaled_mm": _scaled_matmul,
    **{name: partial(_gather, name) for name in _GATHERS.split()},
    "_scaled_dot_product_flash_attention_backward": partial(_attention_backward, 11),
    "_scaled_dot_product_efficient_attention_backward": partial(_attention_backward, 11),
    "_scaled_dot_product_cudnn_attention_backward": partial(_attention_backward, 14),
    "_scaled_dot_product_flash_attention_for_cpu_backward": partial(_attention_backward, 7),
}

_FAMILIES: Mapping[str, Callable[..., OperatorCost]] = {
    name: family
    for names, family in (
        (_NORMALISATIONS, cost.normalisation_cost),
        (_POOLINGS, cost.pooling_cost),
        (_REDUCTIONS, cost.reduction_cost),
        (_COPIES, cost.copy_cost),
        (_ELEMENTWISE, cost.elementwise_cost),
    )
    for name in names.split()
}
