"""Attention: products and bytes of the fused kernel, forward and back, against counts by hand and torch's counter."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import sdpa_backward_flop_count

from energybench.cost.attention import Attention, attention_backward_cost, attention_cost
from energybench.workload.aten import operator_costs
from energybench.workload.trace import trace

SMALL = Attention(B=2, heads=4, T=8, S=16, D=32, value_size=24, key_heads=2)


def test_queries_are_multiplied_by_keys_and_scores_by_values():
    cost = attention_cost(SMALL)
    assert cost.macs == 2 * 4 * (8 * 16 * 32 + 8 * 16 * 24)
    assert cost.read_bytes == 4 * (2 * 4 * 8 * 32 + 2 * 2 * 16 * (32 + 24))
    assert cost.write_bytes == 4 * 2 * 4 * 8 * 24


@pytest.mark.parametrize(("T", "S"), [(5, 5), (3, 7), (7, 3)])
def test_a_causal_mask_leaves_the_scores_on_and_below_the_diagonal(T, S):
    scores = int(torch.ones(T, S).tril().sum())  # how torch defines is_causal
    assert Attention(B=2, heads=3, T=T, S=S, D=4, causal=True).scores == 2 * 3 * scores


def test_the_way_back_has_the_five_products_that_torch_counts():
    shapes = (2, 4, 8, 24), (2, 4, 8, 32), (2, 4, 16, 32), (2, 4, 16, 24)  # result, queries, keys, values
    full = Attention(B=2, heads=4, T=8, S=16, D=32, value_size=24)
    assert attention_backward_cost(full).flops == sdpa_backward_flop_count(*shapes)


class Attend(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.project = torch.nn.Linear(512, 3 * 512, bias=False)

    def forward(self, x):
        B, T, _ = x.shape
        query, key, value = self.project(x).view(B, T, 3, 8, 64).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).reshape(B, T, 512)


@pytest.mark.parametrize("training", [False, True])
def test_neither_traffic_nor_memory_holds_the_scores(training):
    B, T = 4, 2048
    with torch.device("meta"):
        module, x = Attend().to(torch.bfloat16), torch.empty(B, T, 512, dtype=torch.bfloat16)
    found = trace(module, [x], training=training)
    names = [op.name for op in found.operators]
    assert ("attention_backward" in names) == training
    assert not {"softmax", "bmm"} & set(names)
    tokens, scores = 2 * B * T * 512, 2 * B * 8 * T * T
    assert found.peak_bytes < 12 * tokens < scores
    assert next(op for op in found.operators if op.name == "attention").bytes == 4 * tokens
    if training:
        backward = next(op for op in found.operators if op.name == "attention_backward")
        assert backward.bytes == 8 * tokens + 4 * B * 8 * T  # q k v y dy, dq dk dv, and the kept statistics


def test_what_attention_refuses_on_a_device_it_refuses_in_a_trace():
    class Wrong(torch.nn.Module):
        def forward(self, q, k):
            return F.scaled_dot_product_attention(q, k, k)

    q, k = torch.empty(2, 4, 8, 16, device="meta"), torch.empty(2, 4, 8, 12, device="meta")
    with pytest.raises(RuntimeError):
        trace(Wrong(), [q, k], training=False)


def test_the_kernel_that_a_device_calls_on_the_way_back_costs_what_the_trace_said():
    class Calls(TorchDispatchMode):
        found = ()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if "attention" in str(func) and "backward" in str(func):
                self.found += operator_costs(func, args, kwargs or {}, result)
            return result

    x = torch.randn(2, 4, 16, 32, requires_grad=True)
    with Calls() as calls:
        F.scaled_dot_product_attention(x, x, x, is_causal=True).sum().backward()
    assert calls.found == (attention_backward_cost(Attention(B=2, heads=4, T=16, S=16, D=32, causal=True)),)
