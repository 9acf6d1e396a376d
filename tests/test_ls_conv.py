"""LS convolutions and their aggregation, in every execution, against the sum they are defined by (entry 10)."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from energybench.errors import UnsupportedError
from energybench.layers.ls_conv import LSConv2d
from energybench.layers.small_kernel_aggregation import small_kernel_aggregation
from energybench.workload.trace import trace

KERNEL = "energybench.layers.ska_kernel"
EAGER = ["unfold", "taps"]

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


@pytest.fixture
def interpreter(monkeypatch):
    """The kernel as Triton's interpreter runs it, on the CPU."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, KERNEL, raising=False)
    assert importlib.import_module(KERNEL).INTERPRETED
    yield
    del sys.modules[KERNEL]


def by_definition(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Entry 10, formula of SKA, a number at a time."""
    N, C, H, W = x.shape
    K = weights.shape[1]
    y = torch.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    for u in range(3):
                        for v in range(3):
                            if 0 <= i + u - 1 < H and 0 <= j + v - 1 < W:
                                y[n, c, i, j] += x[n, c, i + u - 1, j + v - 1] * weights[n, c % K, 3 * u + v, i, j]
    return y


def example(N: int, C: int, K: int, H: int, W: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(N, C, H, W, dtype=torch.float64), torch.randn(N, K, 9, H, W, dtype=torch.float64)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("execution", EAGER)
def test_aggregation_is_the_sum_it_is_defined_by(execution, channels_last):
    x, weights = example(2, 6, 2, 4, 5)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    found = small_kernel_aggregation(x.to(memory_format=layout), weights, execution)
    torch.testing.assert_close(found, by_definition(x, weights), rtol=1e-12, atol=1e-12)


@needs_triton
@pytest.mark.parametrize(
    "shape", [(2, 6, 2, 4, 5), (1, 16, 2, 9, 8), (2, 8, 1, 3, 3), (1, 3, 3, 8, 8), (1, 8, 1, 1, 1)]
)
def test_the_kernel_is_the_sum_up_to_every_edge(interpreter, shape):
    x, weights = example(*shape)
    found = small_kernel_aggregation(x.float(), weights.float(), "triton")
    torch.testing.assert_close(found.double(), by_definition(x, weights), rtol=1e-5, atol=1e-5)


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_kernel_adds_narrow_formats_up_in_float32(interpreter, dtype):
    x, weights = (tensor.to(dtype) for tensor in example(1, 16, 2, 6, 7))
    found = small_kernel_aggregation(x, weights, "triton")
    assert found.dtype == dtype
    # One rounding at the end, of half a unit in the last place.
    expected = by_definition(x.double(), weights.double())
    torch.testing.assert_close(found.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("execution", EAGER)
def test_filters_that_are_alike_everywhere_and_unshared_are_a_depthwise_convolution(execution):
    x, _ = example(2, 4, 4, 6, 5)
    weight = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    everywhere = weight.view(1, 4, 9, 1, 1).expand(2, 4, 9, 6, 5)
    expected = F.conv2d(x, weight, padding=1, groups=4)
    torch.testing.assert_close(small_kernel_aggregation(x, everywhere, execution), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("execution", EAGER)
def test_a_filter_of_only_its_centre_changes_nothing(execution):
    x, weights = example(1, 8, 1, 5, 5)
    weights = torch.zeros_like(weights)
    weights[:, :, 4] = 1.0
    assert torch.equal(small_kernel_aggregation(x, weights, execution), x)


@pytest.mark.parametrize("execution", EAGER)
def test_gradients_are_those_of_finite_differences(execution):
    x, weights = (tensor.requires_grad_() for tensor in example(1, 4, 2, 3, 3))
    assert torch.autograd.gradcheck(lambda x, w: small_kernel_aggregation(x, w, execution), (x, weights))
    layer = LSConv2d(8, execution=execution).double().eval()
    # Two samples: of one that lies channels-last in memory, PyTorch 2.13's batch norm gives wrong gradients on the CPU.
    assert torch.autograd.gradcheck(layer, (torch.randn(2, 8, 3, 3, dtype=torch.float64, requires_grad=True),))


def test_a_layer_is_its_parts_in_a_row():
    torch.manual_seed(0)
    layer = LSConv2d(16).double().eval()
    x = torch.randn(2, 16, 6, 6, dtype=torch.float64)
    look = layer.perception

    def normed(y, conv, **how):
        return F.conv2d(y, conv.weight, **how) / (1 + 1e-5) ** 0.5  # statistics of a fresh batch norm are 0 and 1

    y = F.relu(normed(x, look.reduce[0]))
    y = F.relu(normed(normed(y, look.context[0], padding=3, groups=8), look.mix[0]))
    weights = F.conv2d(y, look.predict.weight, look.predict.bias).view(2, 2, 9, 6, 6)
    mean, variance = weights.mean((2, 3, 4), keepdim=True), weights.var((2, 3, 4), correction=0, keepdim=True)
    weights = (weights - mean) / (variance + 1e-5).sqrt()
    expected = x + by_definition(x, weights) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("execution", ["unfold", "triton"])
def test_macs_a_pixel_are_those_of_the_entry(execution):
    N, C, P = 2, 128, 14 * 14
    operators = operators_of(N, C, execution)
    assert sum(op.macs for op in operators) == N * P * (1.3125 * C**2 + 33.5 * C)
    assert all(op.known for op in operators)


def operators_of(N: int, C: int, execution: str) -> list:
    with torch.device("meta"):
        layer, x = LSConv2d(C, execution=execution), torch.empty(N, C, 14, 14)
    return list(trace(layer, [x], training=False).operators)


def test_the_kernel_moves_input_filters_and_output_once_and_the_other_executions_far_more():
    elements = 2 * 128 * 14 * 14
    (kernel,) = (op for op in operators_of(2, 128, "triton") if op.name == "ska")
    assert kernel.macs == 9 * elements
    assert kernel.bytes == 4 * 3.125 * elements
    moved = {execution: sum(op.bytes for op in operators_of(2, 128, execution)) for execution in (*EAGER, "triton")}
    # Patches are nine times the input: written, rearranged (read and written) and read.
    assert moved["unfold"] - moved["triton"] > 4 * 36 * elements
    # Nine times: the sum read and written, and a shifted input and a filter read; the first tap has no sum to read.
    taps = 9 * (1 + 1 + 1 + 1 / 8) - 1
    assert moved["taps"] - moved["triton"] > 4 * (taps - 3.125) * elements


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from energybench.layers.ska_kernel import ska_kernel
names = ska_kernel.arg_names
constants = dict(SHARED=8, LANES=8, PIXELS=64)
types = {n: "constexpr" if n in constants else "*fp16" if n in ("x", "weights", "y") else "i32" for n in names}
source = ASTSource(fn=ska_kernel, signature=types, constexprs={(names.index(n),): v for n, v in constants.items()})
built = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
print(len(built.asm["cubin"]) > 0, built.asm["ptx"].count("fma.rn.f32") >= 9)
"""


@needs_triton
def test_the_kernel_compiles_for_a_gpu(tmp_path):
    """The interpreter accepts what the compiler does not."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["True", "True"]


@needs_triton
def test_without_a_gpu_the_kernel_is_unsupported(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delitem(sys.modules, KERNEL, raising=False)
    with pytest.raises(UnsupportedError, match="for CUDA GPUs; there is none for cpu"):
        LSConv2d(8, execution="triton").eval()(torch.randn(1, 8, 4, 4))
    monkeypatch.delitem(sys.modules, KERNEL)


def test_without_triton_the_kernel_is_unsupported_and_the_remedy_named(monkeypatch):
    monkeypatch.delitem(sys.modules, KERNEL, raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(UnsupportedError, match="Triton is not installed") as caught:
        LSConv2d(8, execution="triton").eval()(torch.randn(1, 8, 4, 4))
    assert "energybench[triton]" in str(caught.value)


@pytest.mark.parametrize(
    ("channels", "arguments", "message"),
    [(12, {}, "channels=12 is no multiple of 8"), (8, {"execution": "fast"}, "execution='fast' is none of unfold")],
)
def test_what_cannot_be_meant_is_refused(channels, arguments, message):
    with pytest.raises(ValueError, match=message):
        LSConv2d(channels, **arguments)
