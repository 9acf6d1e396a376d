"""How long does a network take of which only MACs and activations are published? Two terms, no kernel list.

    T = flops / (a x peak) + passes x activation bytes / (b x bandwidth)

Catalogues of networks give multiply-accumulates, and the number of elements that convolutions and matrix products
write ("activations"). An eager framework moves each such element several times: it is written and read by the
convolution, the normalisation, and the activation function, and a residual block of three adds two tensors into one.
"""

from __future__ import annotations

from energybench.analysis.kernel_efficiency import Efficiency
from energybench.cost import DTYPE_BYTES
from energybench.machine import Machine, peak_for

PASSES = 7.0
"""Times an activation crosses the memory bus in an eager network: 2 convolution, 2 normalisation, 2 activation
function, and 3 for one residual addition in every three layers. Counted, not fitted."""


def network_latency_s(
    *, macs: float, activations: float, dtype: str, machine: Machine, efficiency: Efficiency
) -> float:
    """Seconds of one pass forward, in a batch so large that launches do not count.

    Args:
        macs: multiply-accumulates.
        activations: elements that convolutions and matrix products write.
        dtype: of arithmetic and activations.
        machine: where it runs.
        efficiency: its ``gemm`` and ``elementwise`` numbers are the two fractions.

    Raises:
        MachineError: the machine has no peak for ``dtype``.
    """
    kind = "float32" if dtype == "float32" else "float16"
    arithmetic = efficiency.kernels["gemm"][kind].arithmetic
    bandwidth = efficiency.kernels["elementwise"]["float32"].bandwidth
    moved_bytes = PASSES * activations * DTYPE_BYTES[dtype]
    return 2 * macs / (arithmetic * peak_for(machine, dtype)) + moved_bytes / (
        bandwidth * machine.bandwidth_bytes_per_s
    )
