"""Blocks in a row between two others: what runs, in every format, and that the suites hold the author's shapes."""

from __future__ import annotations

import pytest
import torch
from quiet import measured

from energybench.analysis.summary import summarize
from energybench.journal import load
from energybench.layers.blocks_in_situ import BlocksInSitu2d
from energybench.machine import load_machine
from energybench.prediction import predict_suite
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


def test_a_simulated_board_says_how_much_of_what_is_compiled_it_counts(tmp_path):
    folder, _ = measured(tmp_path, text=COMPILED, quick=True)
    flags = summarize(load(folder)).cases.set_index("variant")["flags"].str.split()
    assert "compile-epilogues" in flags["compiled"]
    assert not {"compile-epilogues", "compile-uncounted"} & set(flags["eager"])
    assert "compile-uncounted" not in flags["compiled"]


def test_a_compiled_training_pass_is_counted_operator_by_operator_and_says_so(tmp_path):
    training = COMPILED.replace("name: t", "name: training") + "axes: {mode: [training]}\n"
    folder, _ = measured(tmp_path, text=training, quick=True)
    run = load(folder)
    flags = summarize(run).cases.set_index("variant")["flags"].str.split()
    assert "compile-uncounted" in flags["compiled"]
    eager, compiled = ([o.name for o in run.operators if o.work == case.work] for case in run.record.cases)
    assert eager == compiled


def test_a_compiled_block_is_predicted_and_simulated_with_its_epilogues_fused(tmp_path):
    (tmp_path / "t.yaml").write_text(COMPILED)
    suite, sheet = load_suite(tmp_path / "t.yaml"), load_machine("h200")
    folder, _ = measured(tmp_path, text=COMPILED, quick=True)
    for run in (load(predict_suite(suite, sheet, tmp_path / "model")), load(folder)):
        cases = summarize(run).cases.set_index("variant")
        # pointwise, activation, pointwise, sum with the input: four kernels, or two with an epilogue each
        names = [[o.name for o in run.operators if o.work == cases.work[v]] for v in ("eager", "compiled")]
        assert [len(found) for found in names] == [4, 2]
        assert cases.macs["eager"] == cases.macs["compiled"]
        # maps this small cost their launches, of which the sheet has one a kernel
        saved_s = cases.loop_latency_s["eager"] - cases.loop_latency_s["compiled"]
        assert saved_s > 1.9 * sheet.launch_s
