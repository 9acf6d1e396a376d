"""What must an operator do? Closed forms on shapes: multiply-accumulates, and bytes with each element moved once.

The front door of the closed forms; fused attention, groups of operators in one kernel and kernels that PyTorch does not
know have modules of their own (``attention``, ``fusion``, ``kernels``). Conventions of every function:

- One MAC is one multiply-accumulate of a convolution or a matrix product; FLOPs are two times that. Everything else
  (activations, pooling, normalisation, softmax) costs bytes and no MACs.
- Counts are of one iteration, that is of the whole batch. Taps that fall on padding are counted, as is usual.
- Bytes are the operator's own inputs, weights and outputs, each element once: the least it can move when nothing
  is left in a cache.

Source: standard counts; ours.
"""

from energybench.cost.convolution import conv2d_cost, conv2d_output_size, convolution_backward_cost, convolution_cost
from energybench.cost.operator import DTYPE_BYTES, Family, Operand, OperatorCost
from energybench.cost.product import linear_cost, matmul_cost
from energybench.cost.traffic import copy_cost, elementwise_cost, normalisation_cost, pooling_cost, reduction_cost

__all__ = [
    "DTYPE_BYTES",
    "Family",
    "Operand",
    "OperatorCost",
    "conv2d_cost",
    "conv2d_output_size",
    "convolution_backward_cost",
    "convolution_cost",
    "copy_cost",
    "elementwise_cost",
    "linear_cost",
    "matmul_cost",
    "normalisation_cost",
    "pooling_cost",
    "reduction_cost",
]
