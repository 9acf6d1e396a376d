"""A kernel PyTorch cannot see through is counted, told apart, packed, compiled, or skipped with the reason."""

from pathlib import Path

import pytest
import torch
from quiet import measured

from energybench.analysis.summary import summarize
from energybench.errors import UnsupportedError
from energybench.journal import load
from energybench.suite import parse_suite
from energybench.suite.cases import expand
from energybench.workload import build, plan_workload

PLUGIN = str(Path(__file__).parent / "opaque_layers.py")
F = 8


def suite_text(variants):
    return f"name: t\nbaseline: a\nvariants:\n{variants}\ninput: [2, 3, {F}]\n"


def plans_of(variants):
    cases, _ = expand(parse_suite(suite_text(variants)))
    return [plan_workload(case, plugins=(PLUGIN,)) for case in cases]


def test_a_custom_operator_is_counted_by_its_closed_form():
    (plan,) = plans_of(f'  a: {{layer: "opaque_layers:Picked", args: {{features: {F}}}}}')
    (operator,) = plan.operators
    assert (operator.name, operator.family, operator.known) == ("picked", "sparse", True)
    assert plan.macs == 6 * (F // 2) * F
    packed_bytes = (F // 2) * (8 + 4 * F)  # 64-bit indices, float32 weights
    assert operator.weight_bytes == packed_bytes
    assert plan.compulsory_bytes == plan.eager_bytes == 6 * F * 4 * 2 + packed_bytes
    assert plan.unknown == ()


def test_packed_layers_count_the_weights_they_store():
    (plan,) = plans_of(f'  a: {{layer: "opaque_layers:Picked", args: {{features: {F}}}}}')
    assert plan.params == F // 2 * F


def test_inputs_are_handed_over_encoded_and_weights_packed_from_the_same_seed():
    (plan,) = plans_of(f'  a: {{layer: "opaque_layers:Picked", args: {{features: {F}}}}}')
    built = build(plan, torch.device("cpu"), seed=3, plugins=(PLUGIN,))
    (x,) = built.input_sets[0]
    assert x.shape == (6, F)
    torch.manual_seed(3)
    weight = torch.randn(F, F)
    torch.testing.assert_close(built.module(x), x[:, : F // 2] @ weight[: F // 2])


def test_torch_compile_keeps_a_custom_operator_whole():
    (plan,) = plans_of(f'  a: {{layer: "opaque_layers:Picked", args: {{features: {F}}}}}')
    built = build(plan, torch.device("cpu"), seed=3, plugins=(PLUGIN,))
    compiled = torch.compile(built.module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*built.input_sets[0]), built.module(*built.input_sets[0]))


def test_a_format_the_device_lacks_is_skipped_with_the_reason_and_fails_nothing(tmp_path):
    text = suite_text(
        f'  a: {{layer: "opaque_layers:Picked", args: {{features: {F}}}}}\n'
        f'  b: {{layer: "opaque_layers:Picked", args: {{features: {F}, needs: cuda}}}}'
    )
    folder, _ = measured(tmp_path, text=text, device="cpu", plugins=(PLUGIN,), quick=True)
    run = load(folder)
    assert run.record.complete
    rows = summarize(run).cases.set_index("variant")
    assert rows.loc["a", "status"] == "ok"
    assert rows.loc["b", "status"] == "skipped"
    assert rows.loc["b", "reason"] == "this layer needs a cuda device"


def test_packing_refuses_where_the_device_lacks_the_format():
    (plan,) = plans_of(f'  a: {{layer: "opaque_layers:Picked", args: {{features: {F}, needs: cuda}}}}')
    with pytest.raises(UnsupportedError, match="needs a cuda device"):
        build(plan, torch.device("cpu"), seed=0, plugins=(PLUGIN,))
