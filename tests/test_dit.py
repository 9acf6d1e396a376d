"""DiT's block and network against their formulas and published counts; the suites that set DiCo beside them."""

from __future__ import annotations

import math

import pytest
import torch
from quiet import measured
from torch import Tensor, nn

from energybench.analysis.summary import summarize
from energybench.devices.cpu import CpuDevice
from energybench.journal import load
from energybench.layers.dico import DiCoBlock2d
from energybench.layers.dit import DiTBlock, DiTBlock2d, SelfAttention
from energybench.networks.dit import DiT
from energybench.session.operators import measured_operators
from energybench.session.record import operator_records
from energybench.suite import expand, load_suite, parse_suite
from energybench.workload import plan_workload
from energybench.workload.trace import trace

C, HEADS = 12, 3


def normed(x: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-6).sqrt()


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))


def applied(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def attention_by_formula(layer: SelfAttention, x: Tensor, heads: int) -> Tensor:
    """Head by head; softmax written out."""
    channels = x.shape[2]
    query, key, value = applied(layer.enter, x).split(channels, 2)
    answers = []
    for h in range(heads):
        mine = slice(h * channels // heads, (h + 1) * channels // heads)
        scores = torch.exp(query[..., mine] @ key[..., mine].mT / (channels / heads) ** 0.5)
        answers.append(scores / scores.sum(2, keepdim=True) @ value[..., mine])
    return applied(layer.leave, torch.cat(answers, 2))


def block_by_formula(block: DiTBlock, x: Tensor, c: Tensor) -> Tensor:
    sh1, sc1, g1, sh2, sc2, g2 = applied(block.modulation[1], silu(c)).unsqueeze(1).split(x.shape[2], 2)
    y = x + g1 * attention_by_formula(block.attention, normed(x) * (1 + sc1) + sh1, HEADS)
    v = normed(y) * (1 + sc2) + sh2
    return y + g2 * applied(block.feed[2], gelu(applied(block.feed[0], v)))


def test_a_block_is_its_formula():
    torch.manual_seed(0)
    block = DiTBlock(C, HEADS).double()
    x, c = torch.randn(2, 7, C, dtype=torch.float64), torch.randn(2, C, dtype=torch.float64)
    torch.testing.assert_close(block(x, c), block_by_formula(block, x, c), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_on_a_map_the_pixels_are_the_tokens_row_by_row(memory_format):
    torch.manual_seed(0)
    block = DiTBlock2d(C, HEADS).double()
    x, c = torch.randn(2, C, 3, 5, dtype=torch.float64), torch.randn(2, C, dtype=torch.float64)
    tokens = torch.stack([x[:, :, i, j] for i in range(3) for j in range(5)], 1)
    expected = block_by_formula(block.block, tokens, c)
    found = block(x.to(memory_format=memory_format), c)
    assert found.shape == x.shape
    for number in range(15):
        torch.testing.assert_close(found[:, :, number // 5, number % 5], expected[:, number], rtol=1e-11, atol=1e-11)


def test_a_channels_last_map_is_handed_to_the_block_without_a_copy():
    x = torch.randn(2, C, 3, 5).to(memory_format=torch.channels_last)
    block, seen = DiTBlock2d(C, HEADS), []
    block.block.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    y = block(x, torch.randn(2, C))
    assert seen[0].is_contiguous()
    assert seen[0].data_ptr() == x.data_ptr()
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_with_gates_of_zero_a_block_hands_its_input_on():
    block = DiTBlock(C, HEADS)
    nn.init.zeros_(block.modulation[1].weight)
    nn.init.zeros_(block.modulation[1].bias)
    x = torch.randn(2, 7, C)
    assert torch.equal(block(x, torch.randn(2, C)), x)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="heads=5"):
        SelfAttention(12, 5)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("block", [lambda: DiTBlock2d(16, 4), lambda: DiCoBlock2d(16)], ids=["DiT", "DiCo"])
def test_every_number_format_gives_the_numbers_of_float64_to_its_precision(block, dtype):
    torch.manual_seed(0)
    layer, x, c = block().to(dtype), torch.randn(2, 16, 5, 5).to(dtype), torch.randn(2, 16).to(dtype)
    found = layer(x, c)
    assert found.dtype == dtype
    expected = layer.double()(x.double(), c.double())
    # A chain of about ten layers, each rounding sums of order one.
    assert float((found.double() - expected).abs().max() / expected.abs().max()) < 16 * torch.finfo(dtype).eps


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    block = DiTBlock2d(4, 2).double()
    x, c = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((1, 4, 2, 2), (1, 4)))
    assert torch.autograd.gradcheck(block, (x, c))


def test_a_block_counts_its_layers_and_both_products_of_the_attention():
    N, T = 3, 10
    with torch.device("meta"):
        traced = trace(DiTBlock(C, HEADS), [torch.empty(N, T, C), torch.empty(N, C)], training=False)
    assert all(op.known for op in traced.operators)
    # Four C x C layers with the attention's, two of expansion 4; T numbers of C asked and weighed; six vectors.
    assert sum(op.macs for op in traced.operators) == N * T * (12 * C**2 + 2 * T * C) + N * 6 * C**2


def test_a_block_runs_the_operators_that_are_counted():
    """Joining the heads copies nothing, because the fused attention leaves them beside each other."""
    plan = plan_workload(
        expand(
            parse_suite(
                "name: one\nbaseline: a\n"
                "variants: {a: {layer: DiTBlock2d, args: {channels: 32, heads: 4}, layout: channels_last}}\n"
                "inputs: [[2, 32, 4, 4], [2, 32]]\n"
            )
        )[0][0]
    )
    records = operator_records([plan])
    assert not [record for record in records if record.name in ("clone", "copy_")]
    cpu = CpuDevice()
    assert measured_operators(cpu, cpu.prepare(plan), records).note == ""


PUBLISHED = [  # millions of parameters, and what the paper calls Gflops and are MACs: arXiv 2212.09748, table 4
    ("S", 32, 33, 6.06),
    ("B", 32, 130, 23.01),
    ("L", 32, 458, 80.71),
    ("XL", 32, 675, 118.64),
    ("XL", 64, 675, 524.60),
]


@pytest.mark.parametrize(("size", "latents", "millions", "billions"), PUBLISHED)
def test_dit_has_the_published_counts(size, latents, millions, billions):
    with torch.device("meta"):
        network, x = DiT(size, latents=latents), torch.empty(1, 4, latents, latents)
        times = torch.empty(1, dtype=torch.int64)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == millions
    traced = trace(network, [x, times, times], training=False)
    assert all(op.known for op in traced.operators)
    assert traced.outputs[0].shape == (1, 8, latents, latents)
    # Ours lie below by up to 0.016 % beyond the rounding, as if the paper counted a normalised number as one.
    assert sum(op.macs for op in traced.operators) / 1e9 == pytest.approx(billions, rel=2e-4, abs=0.005)


def place_by_formula(row: int, column: int, width: int) -> list[float]:
    """Sines, then cosines, of the column; the same of the row."""
    rates = [10_000 ** (-i / (width / 4)) for i in range(width // 4)]
    return [wave(at * rate) for at in (column, row) for wave in (math.sin, math.cos) for rate in rates]


@torch.no_grad()
def test_around_its_blocks_dit_is_its_formula():
    torch.manual_seed(0)
    network = DiT("S", latents=6).eval()
    network.blocks = network.blocks[:0]
    network.double()
    x, time, label = torch.randn(2, 4, 6, 6, dtype=torch.float64), torch.tensor([3, 950]), torch.tensor([7, 1000])
    angles = torch.tensor([[int(t) * 10_000 ** (-i / 128) for i in range(128)] for t in time], dtype=torch.float64)
    c = applied(network.condition.time[0], torch.cat([angles.cos(), angles.sin()], 1))
    c = applied(network.condition.time[2], silu(c)) + network.condition.label.weight[label]
    shift, scale = applied(network.modulation[1], silu(c)).split(384, 1)
    expected = torch.empty(2, 8, 6, 6, dtype=torch.float64)
    for row in range(3):
        for column in range(3):
            here = (slice(None), slice(None), slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
            token = x[here].flatten(1) @ network.stem.weight.flatten(1).T + network.stem.bias
            token = token + torch.tensor(place_by_formula(row, column, 384), dtype=torch.float64)
            numbers = applied(network.head, normed(token) * (1 + scale) + shift)
            expected[here] = torch.einsum("nrcq->nqrc", numbers.view(2, 2, 2, 8))
    # Sines of angles up to 950 are taken in single precision, which is good to 6e-5 there.
    torch.testing.assert_close(network(x, time, label), expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_all_blocks_of_dit_are_run_on_the_condition():
    torch.manual_seed(0)
    network = DiT("S", latents=4).eval()
    runs: list[tuple[nn.Module, Tensor]] = []
    for block in network.blocks:
        block.register_forward_pre_hook(lambda module, given: runs.append((module, given[1])))
    time, label = torch.tensor([5, 900]), torch.tensor([1, 2])
    y = network(torch.randn(2, 4, 4, 4), time, label)
    assert bool(y.isfinite().all())
    assert [module for module, _ in runs] == list(network.blocks)
    assert all(torch.equal(given, network.condition(time, label)) for _, given in runs)


@pytest.mark.parametrize(("arguments", "what"), [({"size": "M"}, "'M'"), ({"latents": 33}, "latents=33")])
def test_what_dit_does_not_have_is_refused(arguments, what):
    with pytest.raises(ValueError, match=what):
        DiT(**arguments)


SUITES = {"dico": 5 * 4 * 2, "dico_networks": 3 * 4 * 2}


@pytest.mark.parametrize("name", list(SUITES))
def test_every_case_of_a_suite_is_counted_and_pairs_match_in_macs(name):
    cases, skipped = expand(load_suite(name))
    assert not skipped
    assert len(cases) == SUITES[name]
    plans = {(case.comparison, case.variant): plan_workload(case) for case in cases if case.point["batch"] == 1}
    assert not any(plan.unknown for plan in plans.values())
    for case in cases:
        if case.pair and case.point["batch"] == 1:
            ratio = plans[case.comparison, case.variant].macs / plans[case.comparison, case.pair].macs
            assert 0.9 < ratio < 1.1, (case.id, ratio)


@pytest.mark.parametrize("name", list(SUITES))
def test_the_quick_part_is_every_variant_at_one_point(name):
    cases, skipped = expand(load_suite(name), quick=True)
    assert not skipped
    assert [case.variant for case in cases] == list(load_suite(name).variants)
    assert {case.dtype for case in cases} == {"float32"}


@pytest.mark.parametrize("name", list(SUITES))
def test_a_suite_is_measured_to_joules_on_a_simulated_board(name, tmp_path):
    smallest = {"channels": [384]} if name == "dico" else {"network": ["S"]}
    folder, _ = measured(tmp_path, load_suite(name).text, settings={"batch": [64], **smallest})
    cases = summarize(load(folder)).cases
    assert set(cases["variant"]) == set(load_suite(name).variants)
    assert set(cases["status"]) == {"ok"}
    assert (cases["energy_per_inference_j"] > 0).all()
