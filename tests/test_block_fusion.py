"""Whole blocks as one Triton kernel: they compute the block, compile for a GPU, and are counted and skipped rightly."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from energybench.errors import UnsupportedError
from energybench.layers.block_fusion import BlockFusedConvFirst2d, BlockFusedMBConv2d
from energybench.suite import expand, load_suite
from energybench.workload import disagreement, plan_workload
from energybench.workload.trace import trace

KERNELS = "energybench.layers.block_kernels"
CPU = torch.device("cpu")

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


@pytest.fixture
def interpreter(monkeypatch):
    """The kernels as Triton's interpreter runs them, on the CPU."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, KERNELS, raising=False)
    kernels = importlib.import_module(KERNELS)
    assert kernels.INTERPRETED
    yield kernels
    del sys.modules[KERNELS]


def with_values(layer: torch.nn.Module) -> torch.nn.Module:
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return layer.eval()


SHAPES = [  # C, E, G, N, H, W; tiles have 4 rows of 16 pixels
    (16, 2, 8, 1, 4, 16),  # one tile exactly
    (24, 2, 4, 2, 5, 7),  # channels that fill no power of two, a map narrower than a tile
    (16, 3, 1, 1, 5, 18),  # depthwise; the last tile holds a corner of the map
    (32, 1, 32, 1, 3, 17),  # groups wider than an instruction is deep
    (40, 1, 8, 1, 1, 1),  # one pixel, all of it border
]


@needs_triton
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("fused", [BlockFusedConvFirst2d, BlockFusedMBConv2d])
def test_a_fused_block_is_the_block_up_to_every_edge(interpreter, fused, shape):
    C, E, G, N, H, W = shape
    torch.manual_seed(0)
    layer = with_values(fused(C, expansion=E, group_size=G))
    x = torch.randn(N, C, H, W)
    expected = layer.block.double()(x.double())
    layer.block.float()
    with torch.no_grad():
        for layout in (torch.contiguous_format, torch.channels_last):
            found = layer(x.contiguous(memory_format=layout))
            torch.testing.assert_close(found.double(), expected.detach(), rtol=1e-5, atol=1e-5)
            assert found.is_contiguous(memory_format=layout)


@needs_triton
@pytest.mark.parametrize("fused", [BlockFusedConvFirst2d, BlockFusedMBConv2d])
def test_half_precision_sums_in_float32(interpreter, fused):
    """Rounded are the values between layers, not the sums: errors stay at a few units of the format.

    Triton's interpreter multiplies bfloat16 as the integers it stores it in; that format is only compiled, below.
    """
    dtype = torch.float16
    torch.manual_seed(0)
    layer = with_values(fused(32, expansion=4, group_size=8)).to(dtype)
    x = torch.randn(1, 32, 4, 6, dtype=dtype)
    with torch.no_grad():
        found = layer(x)
        expected = layer.block.double()(x.double())
    error = (found.double() - expected).abs().max() / expected.abs().max()
    assert error < 2 * torch.finfo(dtype).eps


@needs_triton
def test_the_suites_fused_variant_agrees_with_its_baseline_given_the_same_weights(interpreter):
    cases, _ = expand(load_suite("lavin_fusion"), settings={"channels": [64], "batch": [1], "dtype": ["float32"]})
    plans = {case.variant: plan_workload(smaller(case)) for case in cases}
    fused, baseline = plans["block fusion"], plans["layer by layer"]
    assert fused.case.equivalent
    assert disagreement(fused, baseline, CPU, seed=0, plugins=()) == ""


def smaller(case):
    """The same case on a map of 5 x 5 with 16 channels, which an interpreter gets through."""
    from dataclasses import replace

    spec = replace(case.inputs[0], shape=(1, 16, 5, 5))
    return replace(case, inputs=(spec,), args={**case.args, "channels": 16, "expansion": 2, "depth": 1})


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from energybench.layers import block_kernels

for kernel, C, hidden, side, dtype in (
    ("conv_first_kernel", 64, 384, 64, "fp16"), ("mbconv_kernel", 256, 1024, 16, "bf16")
):
    function = getattr(block_kernels, kernel).fn
    names = function.arg_names
    constants = dict(C=C, HIDDEN=hidden, H=side, W=side, R=3, GROUP=8, PACK=16, BLOCK_C=C, BLOCK_H=4, BLOCK_W=16,
                     BLOCK_E=32, PRECISION="tf32", stride_c=1)
    pointers = ("x", "y", "w_", "b_")
    types = {n: "constexpr" if n in constants else f"*{dtype}" if n.startswith(pointers) else "i32" for n in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n not in constants}
    values = {(names.index(n),): value for n, value in constants.items()}
    source = ASTSource(fn=function, signature=types, constexprs=values, attrs=aligned)
    options = {"num_warps": 4, "num_stages": 2, "enable_fp_fusion": True}
    built = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    product = ".f32." + ".".join([dtype.replace("fp", "f")] * 2)  # the sum's format, and those of the factors
    print(kernel, built.metadata.shared, product in built.asm["ptx"], len(built.asm["cubin"]) > 0)
"""


@needs_triton
def test_the_kernels_compile_for_a_gpu_within_its_shared_memory(tmp_path):
    """The interpreter accepts what the compiler does not. Compute capability 9.0 has 227 KB a program."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], capture_output=True, text=True, check=False, env=environment, timeout=170
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["conv_first_kernel", "mbconv_kernel"]
    for _, shared_bytes, sums_in_float32, assembled in lines:
        assert 0 < int(shared_bytes) < 227 * 1024
        assert (sums_in_float32, assembled) == ("True", "True")


@needs_triton
def test_without_a_gpu_a_fused_block_is_unsupported(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delitem(sys.modules, KERNELS, raising=False)
    with pytest.raises(UnsupportedError, match="for CUDA GPUs; there is none for cpu"):
        BlockFusedConvFirst2d(16)(torch.randn(1, 16, 4, 4))
    monkeypatch.delitem(sys.modules, KERNELS)


def test_without_triton_a_fused_block_is_unsupported_and_the_remedy_named(monkeypatch):
    monkeypatch.delitem(sys.modules, KERNELS, raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(UnsupportedError, match="Triton is not installed") as caught:
        BlockFusedMBConv2d(16)(torch.randn(1, 16, 4, 4))
    assert "energybench[triton]" in str(caught.value)


@pytest.mark.parametrize(
    ("fused", "megabytes", "intensity"),
    [  # lavin.md, V3: N = 128, 64 x 64 pixels, 64 channels, FP16; without the biases, which the reference leaves out
        (BlockFusedMBConv2d(64, expansion=4, group_size=1), 134.288, 273.857),
        (BlockFusedConvFirst2d(64, expansion=6), 134.325, 419.664),
        (BlockFusedConvFirst2d(64, expansion=4), 134.292, 291.837),
    ],
)
def test_a_fused_block_is_one_operator_with_the_bytes_of_its_boundary(fused, megabytes, intensity):
    layer = fused.half().to("meta")
    x = torch.empty(128, 64, 64, 64, dtype=torch.float16, device="meta")
    (operator,) = trace(layer, [x], training=False).operators
    biases = sum(p.nbytes for name, p in layer.named_parameters() if name.endswith("bias"))
    assert (operator.bytes - biases) / 1e6 == pytest.approx(megabytes, abs=5e-4)
    assert operator.flops / (operator.bytes - biases) == pytest.approx(intensity, abs=5e-3)
    assert operator.macs == sum(op.macs for op in trace(layer.block, [x], training=False).operators)
    assert operator.known
    assert operator.dtype == "float16"


@pytest.mark.parametrize("fused", [BlockFusedConvFirst2d, BlockFusedMBConv2d])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 24, "group_size": 3}, "group_size=3 is none of"),
        ({"channels": 1024}, "holds the sums of up to 512"),
    ],
)
def test_what_the_kernels_cannot_hold_is_refused(fused, arguments, message):
    with pytest.raises(ValueError, match=message):
        fused(**arguments)
