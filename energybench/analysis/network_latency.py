"""How long does a network take of which only MACs and activations are published? Two terms, no kernel list.

    T = flops / (a x peak) + passes x activation bytes / (b x bandwidth)

Catalogues of networks give multiply-accumulates, and the number of elements that convolutions and matrix products
write ("activations"). An eager framework moves each such element several times: how often is counted on a block of
the network's kind (``PASSES``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from energybench.analysis.kernel_efficiency import Efficiency
from energybench.cost import DTYPE_BYTES
from energybench.machine import Machine, peak_for

NetworkKind = Literal["convolution", "depthwise", "transformer"]

PASSES: Mapping[NetworkKind, float] = {"convolution": 7.0, "depthwise": 7.0, "transformer": 38 / 9}
"""Times an activation crosses the memory bus in an eager network. Counted, not fitted; ours.

Convolutional blocks: 2 by the convolution, 2 by the normalisation, 2 by the activation function, and 3 for one residual
addition in every three layers. Transformer blocks of width d, whose four products write 3d + d + 4d + d = 9d: the
products read and write 4d + 2d + 5d + 5d, fused attention reads 3d and writes d, the activation function moves 8d, two
normalisations 4d, two residual additions 6d: 38d."""

TRAINING = 3.0
"""A training step against a forward pass, in arithmetic and in bytes. Counted, not fitted; ours.

Each gradient (of input and weight) takes the FLOPs of the forward pass. Per convolution, normalisation, activation
function and a third of a residual addition, 8 passes forward (batch statistics read the input once more) and 4 + 5 + 3
+ 1 = 13 backward: 21, three times the 7 of inference. The optimizer's step over the parameters does not count in a
batch so large that launches do not."""


def network_latency_s(
    *,
    macs: float,
    activations: float,
    dtype: str,
    machine: Machine,
    efficiency: Efficiency,
    kind: NetworkKind = "convolution",
    training: bool = False,
) -> float:
    """Seconds of one pass forward, or of one training step, in a batch so large that launches do not count.

    Args:
        macs: multiply-accumulates of the pass forward.
        activations: elements that its convolutions and matrix products write.
        dtype: of arithmetic and activations.
        machine: where it runs.
        efficiency: its ``gemm`` and ``elementwise`` numbers are the two fractions.
        kind: what the network is built of.
        training: forward, backward and optimizer step instead of a pass forward.

    Raises:
        MachineError: the machine has no peak for ``dtype``.
    """
    arithmetic_kind = "float32" if dtype == "float32" else "float16"
    arithmetic = efficiency.kernels["gemm"][arithmetic_kind].arithmetic
    bandwidth = efficiency.kernels["elementwise"]["float32"].bandwidth
    moved_bytes = PASSES[kind] * activations * DTYPE_BYTES[dtype]
    forward_s = 2 * macs / (arithmetic * peak_for(machine, dtype)) + moved_bytes / (
        bandwidth * machine.bandwidth_bytes_per_s
    )
    return TRAINING * forward_s if training else forward_s
