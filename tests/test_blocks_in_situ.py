"""Blocks in a row between two others: what runs, in every format, and that the suites hold the author's shapes."""

from __future__ import annotations

import pytest
import torch
from quiet import measured

from energybench.analysis.summary import summarize
from energybench.journal import load
from energybench.layers.blocks_in_situ import BlocksInSitu2d
from energybench.suite import expand, load_suite
from energybench.workload.trace import trace


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("block", ["ConvFirst", "MBConv", "FusedMBConv", "ConvNeXt"])
def test_a_stack_runs_in_every_format_and_keeps_channels_last(block, dtype):
    torch.manual_seed(0)
    stack = BlocksInSitu2d(block, 16, expansion=2).eval()
    x = torch.randn(2, 16, 8, 8)
    expected = stack(x)
    stack = stack.to(dtype=dtype, memory_format=torch.channels_last)
    found = stack(x.to(dtype=dtype, memory_format=torch.channels_last))
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.float(), expected, rtol=0, atol={4: 1e-5}.get(dtype.itemsize, 0.1))


def test_a_stack_is_four_blocks_between_two_mlp_blocks():
    stack = BlocksInSitu2d("ConvFirst", 64, expansion=6)
    operators = trace(stack.to("meta"), [torch.empty(1, 64, 64, 64, device="meta")], training=False).operators
    assert sum(op.macs for op in operators) == 64 * 64 * (4 * (9 * 8 * 64 + 2 * 6 * 64**2) + 2 * (2 * 6 * 64**2))
    weights = 4 * (9 * 8 * 64 + 2 * 6 * 64**2) + 2 * (2 * 6 * 64**2)
    biases = 4 * (64 + 6 * 64 + 64) + 2 * (6 * 64 + 64)
    assert sum(p.numel() for p in stack.parameters()) == weights + biases


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block": "Conv"}, "none of ConvFirst, MBConv"),
        ({"block": "FusedMBConv", "group_size": 8}, "FusedMBConv does not have a group_size"),
        ({"block": "ConvNeXt", "block_fusion": True}, "ConvNeXt does not have a kernel"),
        ({"block": "MBConv", "group_size": 7}, "group_size=7 does not divide 64"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BlocksInSitu2d(channels=16, **arguments)


def test_the_suites_shapes_hold_the_authors_and_its_variants_one_expansion():
    cases, skipped = expand(load_suite("lavin_blocks"))
    shapes = {tuple(case.inputs[0].shape[1:]) for case in cases}
    assert {(64, 64, 64), (256, 16, 16), (128, 64, 64), (512, 16, 16)} == shapes
    assert all(case.args["expansion"] == (6 if case.point["channels"] == 64 else 4) for case in cases)
    assert not skipped


COMPILED = """
name: t
baseline: eager
variants:
  eager: {layer: MLPBlock2d, args: {channels: 8, folded: true}}
  compiled: {layer: MLPBlock2d, args: {channels: 8, folded: true}, compile: true}
input: [2, 8, 4, 4]
"""


def test_a_simulated_board_says_that_it_does_not_know_what_is_compiled(tmp_path):
    folder, _ = measured(tmp_path, text=COMPILED, quick=True)
    flags = summarize(load(folder)).cases.set_index("variant")["flags"]
    assert "compile-uncounted" in flags["compiled"].split()
    assert "compile-uncounted" not in flags["eager"].split()
