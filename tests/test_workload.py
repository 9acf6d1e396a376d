"""A case made runnable: counted by shape, identified by its work, built with real numbers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from energybench.cost import conv2d_cost, linear_cost
from energybench.errors import CaseError, SuiteError
from energybench.suite import Case, expand, load_suite, parse_suite
from energybench.workload import Built, WorkPlan, build, plan_workload, resident_bytes
from energybench.workload.given import plan_given
from energybench.workload.trace import trace

CPU = torch.device("cpu")


def case_of(layer: str, args: str = "", input: str = "[2, 16, 8, 8]", options: str = "", axes: str = "") -> Case:  # noqa: A002
    text = f"""
name: t
baseline: a
variants: {{a: {{layer: "{layer}", args: {{{args}}}{options}}}}}
inputs: [{input}]
axes: {{{axes}}}
"""
    return expand(parse_suite(text, "t.yaml"))[0][0]


def plan_of(*args: str, **options: str) -> WorkPlan:
    return plan_workload(case_of(*args, **options))


def names(plan: WorkPlan) -> list[str]:
    return [operator.name for operator in plan.operators]


# --- counting ---


def test_a_convolutions_plan_is_its_closed_form():
    plan = plan_of("GroupConv2d", "channels: 16, group_size: 4")
    form = conv2d_cost(N=2, C=16, H=8, W=8, K=16, R=3, S=3, groups=4, padding=1)
    assert plan.operators == (form,)
    assert plan.macs == form.macs == 2 * 64 * 16 * 4 * 9
    assert plan.params == 16 * 4 * 9
    assert plan.compulsory_bytes == plan.eager_bytes == form.bytes
    assert plan.output_shapes == ((2, 16, 8, 8),)
    assert plan.unknown == ()


def test_the_sum_over_operators_is_more_than_the_compulsory_bytes_of_a_network():
    plan = plan_of("MobileNetV1", "group_size: 8", "[1, 3, 64, 64]")
    assert plan.compulsory_bytes < plan.eager_bytes == sum(op.bytes for op in plan.operators)
    # Weights, batch norm statistics (and 27 eight-byte counters), one image in, scores out.
    statistics = 2 * (32 + 4960 + 64 + 128 * 2 + 256 * 2 + 512 * 6 + 1024 * 2) * 4 + 27 * 8
    assert plan.compulsory_bytes == 4 * (plan.params + 3 * 64 * 64 + 1000) + statistics


def test_operators_know_their_place_in_the_network():
    plan = plan_of("ResNeXt50", "groups: 32", "[1, 3, 64, 64]")
    paths = {op.path for op in plan.operators if op.family == "conv_grouped"}
    assert {"stages.0.0.spatial.0", "stages.3.2.spatial.0"} <= paths
    assert len(paths) == 16
    assert next(op.path for op in plan.operators if op.name == "linear") == "classifier"


def test_tf32_labels_what_multiplies_and_nothing_else():
    plan = plan_of("MobileNetV1", "group_size: 8", "[1, 3, 64, 64]", axes="dtype: [tf32]")
    assert {op.dtype for op in plan.operators if op.macs} == {"tf32"}
    assert {op.dtype for op in plan.operators if not op.macs} == {"float32"}


def test_training_counts_both_gradients_of_a_grouped_convolution_once():
    plan = plan_of("GroupConv2d", "channels: 16, groups: 8", axes="mode: [training]")
    forward = plan_of("GroupConv2d", "channels: 16, groups: 8").macs
    assert plan.macs == 3 * forward  # torch's counter says forward x (1 + 1 + groups)
    assert names(plan) == ["conv2d", "conv2d_input_gradient", "conv2d_weight_gradient", "add"]
    # Input, output, weights read; output gradient read, input gradient and weights written.
    assert plan.compulsory_bytes == 2 * plan_of("GroupConv2d", "channels: 16, groups: 8").compulsory_bytes


def test_a_network_owes_no_gradient_of_its_images():
    plan = plan_of("MobileNetV1", "group_size: 1", "[2, 3, 32, 32]", axes="mode: [training]")
    inference = plan_of("MobileNetV1", "group_size: 1", "[2, 3, 32, 32]")
    stem = inference.operators[0].macs
    assert plan.macs == 3 * inference.macs - stem
    assert "batch_norm_backward" in names(plan)
    assert plan.unknown == ()


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2)])
def test_a_training_step_is_forward_both_gradients_and_three_passes_over_the_parameters(dtype, size):
    plan = plan_of("torch.nn:Linear", "in_features: 64, out_features: 32", "[8, 64]",
                   axes=f"mode: [training], dtype: [{dtype}]")  # fmt: skip
    x, w, b, y = 8 * 64, 64 * 32, 32, 8 * 32
    passes = [(op.name, op.macs, op.read_bytes // size, op.write_bytes // size) for op in plan.operators]
    assert sorted(passes) == sorted([
        ("linear", 8 * 64 * 32, x + w + b, y),
        ("matmul", 8 * 64 * 32, y + w, x),
        ("matmul", 8 * 64 * 32, y + x, w),
        ("sum", 0, y, b),
        ("add", 0, 2 * (w + b), w + b),  # SGD: parameters and gradients read, parameters written, one kernel for all
    ])  # fmt: skip
    assert plan.unknown == ()


class Stepping(nn.Module):
    """Passes its input on and lets an optimizer step over two parameters of 500 elements."""

    def __init__(self, optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(50, 10)) for _ in range(2))
        self.optimizer = optimizer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        optimizer = self.optimizer(list(self.weights))
        for weight in self.weights:
            weight.grad = torch.empty_like(weight)
        optimizer.step()
        return x


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "options", "passes"),
    [
        (torch.optim.SGD, {}, 3),  # p and g read, p written
        # First step: the velocity is a copy of g (2); g + momentum v (3); p - lr of that (3).
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, 2 + 3 + 3),
        (torch.optim.SGD, {"weight_decay": 1e-2}, 3 + 3),
        # The state is zeroed (1) and scaled (2), g squared is added (3), its root (2), plus eps (2), p -= g / it (4).
        (torch.optim.RMSprop, {}, 1 + 2 + 3 + 2 + 2 + 4),
    ],
)
def test_optimizers_that_a_module_of_ones_own_steps_are_counted_pass_by_pass(optimizer, options, passes, foreach):
    with torch.device("meta"):
        module = Stepping(lambda parameters: optimizer(parameters, lr=0.1, foreach=foreach, **options))
        operators = trace(module, [torch.empty(1)], training=False).operators
    assert all(op.known for op in operators)
    weights = [op for op in operators if op.bytes >= 4 * 500]  # counters of steps have one element
    assert sum(op.bytes for op in weights) == passes * 4 * 1000
    assert not any(op.macs for op in operators)


def test_a_fused_optimizer_is_named_as_unknown():
    class Fused(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            g, m, v = (torch.empty_like(x) for _ in range(3))
            step = torch.empty((), device="meta")
            torch._fused_adamw_(
                [x], [g], [m], [v], [], [step], lr=0.1, beta1=0.9, beta2=0.99, weight_decay=0.0, eps=1e-8,
                amsgrad=False, maximize=False,
            )  # fmt: skip
            return x

    (op,) = trace(Fused(), [torch.empty(1000, device="meta")], training=False).operators
    assert not op.known
    assert "fused_adamw" in op.name


def test_memory_that_is_only_filled_or_overwritten_is_not_read():
    class Fills(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.zeros_like(x)
            torch._foreach_copy_([y], [x])
            torch._foreach_zero_([y])
            return y

    operators = trace(Fills(), [torch.empty(100, device="meta")], training=False).operators
    assert [(op.read_bytes, op.write_bytes) for op in operators] == [(0, 400), (400, 400), (0, 400)]


DEEP = """
from torch import nn

def deep(layers: int) -> nn.Module:
    widths = [8 + i % 97 for i in range(layers + 1)]
    convolutions = (nn.Conv2d(c, k, 3, padding=1) for c, k in zip(widths, widths[1:]))
    return nn.Sequential(*convolutions)
"""


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_cost_of_a_thousand_layers_takes_ten_times_that_of_a_hundred(mode, tmp_path, record_property):
    """Linear in layers, of 97 shapes; in CPU time, because others may be at work. Under 2 s here: see the property."""
    (tmp_path / "deep.py").write_text(DEEP)
    plugin = str(tmp_path / "deep.py")

    def cpu_s(layers: int) -> float:
        case = case_of("deep:deep", f"layers: {layers}", "[2, 8, 16, 16]", axes=f"mode: [{mode}]")
        begin_s = time.process_time()
        plan = plan_workload(case, plugins=[plugin])
        took_s = time.process_time() - begin_s
        assert len([op for op in plan.operators if op.family == "conv_dense"]) >= layers
        return took_s

    hundred_s = min(cpu_s(100) for _ in range(3))
    thousand_s = min(cpu_s(1000) for _ in range(2))
    record_property("cpu_s_of_1000_layers", thousand_s)
    assert thousand_s < 20 * hundred_s


def test_training_memory_holds_the_activations_that_inference_drops():
    training = plan_of("MobileNetV1", "group_size: 1", "[8, 3, 64, 64]", axes="mode: [training]")
    inference = plan_of("MobileNetV1", "group_size: 1", "[8, 3, 64, 64]")
    assert training.peak_memory_bytes > 2 * inference.peak_memory_bytes


def test_peak_memory_follows_what_is_alive():
    class Chain(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(10):
                x = x + 1.0
            return x

    x = torch.empty(1000, device="meta")
    # While one sum is made, its predecessor lives: two of the ten results at a time (one per cent of slack).
    assert trace(Chain(), [x], training=False).peak_bytes == pytest.approx(2 * 4000, rel=0.01)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("groups", [1, 16])
def test_convolutions_keep_channels_last_as_devices_do(groups, training):
    def layouts(device: str) -> list[torch.Size]:
        conv = nn.Conv2d(16, 16, 3, padding=1, groups=groups, device=device).to(memory_format=torch.channels_last)
        x = torch.empty(2, 16, 8, 8, device=device).to(memory_format=torch.channels_last)
        half = torch.nn.Sequential(conv, conv)
        if device == "meta":
            return [trace(half, [x], training=training).outputs[0].stride()]
        return [half(x).stride()]

    assert layouts("meta") == layouts("cpu") == [(16 * 64, 1, 16 * 8, 16)]


def test_a_linear_layer_behind_channels_last_maps_needs_no_copy():
    class Pixelwise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)
            self.linear = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.conv(x).permute(0, 2, 3, 1))

    found = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        with torch.device("meta"):
            module, x = Pixelwise().to(memory_format=layout), torch.empty(2, 8, 6, 6).to(memory_format=layout)
        found[layout] = [op.name for op in trace(module, [x], training=False).operators]
    assert found[torch.contiguous_format] == ["conv2d", "clone", "matmul", "add"]
    assert found[torch.channels_last] == ["conv2d", "linear"]


def test_an_embedding_moves_only_the_rows_that_are_picked():
    plan = plan_of("torch.nn:Embedding", "num_embeddings: 50000, embedding_dim: 64", "{shape: [2, 8], integers: 50000}")
    assert plan.eager_bytes == 16 * 8 + 2 * 16 * 64 * 4
    assert plan.compulsory_bytes == plan.eager_bytes


def test_attention_is_one_kernel_and_its_products_are_counted():
    class Attention(nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    q, k = torch.empty(2, 4, 8, 16, device="meta"), torch.empty(2, 4, 12, 16, device="meta")
    operators = trace(Attention(), [q, k, k], training=False).operators
    assert [op.name for op in operators] == ["attention"]
    assert operators[0].macs == 2 * 4 * 36 * (16 + 16)  # 36 of the 8 x 12 scores lie on or below the diagonal


TRANSFORMER = "d_model: 32, nhead: 4, dim_feedforward: 64, batch_first: true"


@pytest.mark.parametrize(
    ("layer", "args", "input"),
    [
        ("torch.nn:Conv1d", "in_channels: 8, out_channels: 4, kernel_size: 3, groups: 2", "[2, 8, 20]"),
        ("torch.nn:Conv3d", "in_channels: 4, out_channels: 4, kernel_size: 3, groups: 4", "[2, 4, 6, 6, 6]"),
        ("torch.nn:ConvTranspose2d", "in_channels: 8, out_channels: 4, kernel_size: 3, stride: 2, groups: 2", ""),
        ("torch.nn:Linear", "in_features: 8, out_features: 5", "[2, 3, 8]"),
        ("torch.nn:Linear", "in_features: 8, out_features: 5, bias: false", "[3, 8]"),
        ("torch.nn:TransformerEncoderLayer", TRANSFORMER, "[2, 10, 32]"),
        ("torch.nn:MultiheadAttention", "embed_dim: 32, num_heads: 4", "[5, 2, 32], [5, 2, 32], [5, 2, 32]"),
        ("torch.nn:GRU", "input_size: 8, hidden_size: 6", "[4, 2, 8]"),
    ],
)
def test_forward_flops_agree_with_torchs_counter(layer, args, input):  # noqa: A002
    plan = plan_of(layer, args, input or "[2, 8, 8, 8]")
    built = build(plan, CPU, seed=0)
    with (
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        built.module.train()(*built.input_sets[0])  # torch's fast path for evaluation hides its products
    assert sum(op.flops for op in plan.operators) == counter.get_total_flops() > 0
    assert plan.unknown == ()


def test_an_lstm_multiplies_its_four_gates_at_every_step():
    plan = plan_of("torch.nn:LSTM", "input_size: 8, hidden_size: 6", "[5, 2, 8]")  # T N I, H
    assert plan.macs == 5 * 2 * 4 * 6 * (8 + 6)


MAPS = "[2, 8, 8, 8]"


@pytest.mark.parametrize(
    ("layer", "args", "input", "families"),
    [
        ("BatchNorm2d", "num_features: 8", MAPS, {"normalisation"}),
        ("LayerNorm", "normalized_shape: 8", MAPS, {"normalisation"}),
        ("GroupNorm", "num_groups: 2, num_channels: 8", MAPS, {"normalisation"}),
        ("InstanceNorm2d", "num_features: 8", MAPS, {"normalisation"}),
        ("RMSNorm", "normalized_shape: 8", MAPS, {"normalisation"}),
        ("Softmax", "dim: 1", MAPS, {"normalisation"}),
        ("LogSoftmax", "dim: 1", MAPS, {"normalisation"}),
        ("ReLU", "", MAPS, {"elementwise"}),
        ("GELU", "", MAPS, {"elementwise"}),
        ("SiLU", "", MAPS, {"elementwise"}),
        ("Hardswish", "", MAPS, {"elementwise"}),
        ("PReLU", "", MAPS, {"elementwise"}),
        ("GLU", "dim: 1", MAPS, {"elementwise"}),
        ("Upsample", "scale_factor: 2", MAPS, {"elementwise"}),
        ("MaxPool2d", "kernel_size: 2", MAPS, {"pooling"}),
        ("AvgPool2d", "kernel_size: 2", MAPS, {"pooling"}),
        ("AdaptiveAvgPool2d", "output_size: 2", MAPS, {"pooling"}),
        ("AdaptiveAvgPool2d", "output_size: 1", MAPS, {"reduction"}),
        ("ZeroPad2d", "padding: 1", MAPS, {"copy"}),
        ("PixelShuffle", "upscale_factor: 2", MAPS, {"copy"}),
        ("Unfold", "kernel_size: 2", MAPS, {"copy"}),
        ("Flatten", "", MAPS, set()),
        ("Identity", "", MAPS, set()),
        ("Dropout", "", MAPS, set()),
    ],
)
def test_what_torch_ships_is_known_and_filed(layer, args, input, families):  # noqa: A002
    plan = plan_of(f"torch.nn:{layer}", args, input)
    assert {op.family for op in plan.operators} == families
    assert (plan.macs, plan.unknown) == (0, ())
    if families == {"elementwise"} or layer == "BatchNorm2d":
        assert plan.operators[0].read_bytes >= 2 * 8 * 64 * 4


def test_a_matrix_times_its_transpose_reads_one_matrix_and_a_cache_entry_moves_a_row():
    class Product(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ x.T

    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("keys", torch.zeros(4096, 64, device="meta"))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.keys.index_put_((torch.zeros(1, dtype=torch.long, device=x.device),), x)
            return x.relu()

    (product,) = trace(Product(), [torch.empty(32, 16, device="meta")], training=False).operators
    assert (product.macs, product.read_bytes) == (32 * 32 * 16, 32 * 16 * 4)
    put = next(
        op for op in trace(Cache(), [torch.empty(1, 64, device="meta")], training=False).operators if "put" in op.name
    )
    assert (put.read_bytes, put.write_bytes) == (64 * 4 + 8, 64 * 4)


def test_an_operator_without_a_closed_form_is_named_and_never_silently_zero():
    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfft(x).abs()

    operators = trace(Spectrum(), [torch.empty(4, 16, device="meta")], training=False).operators
    unknown = [op for op in operators if not op.known]
    assert ["fft" in op.name for op in unknown] == [True]
    assert unknown[0].read_bytes == 4 * 16 * 4
    assert unknown[0].write_bytes == 4 * 9 * 8  # nine complex64 a row


def test_a_matrix_product_without_bias_costs_what_a_linear_layer_does():
    plan = plan_of("torch.nn:Linear", "in_features: 8, out_features: 5, bias: false", "[3, 8]")
    form = linear_cost(rows=3, in_features=8, out_features=5, bias=False)
    assert (plan.macs, plan.eager_bytes) == (form.macs, form.bytes)


def test_a_network_of_a_thousand_layers_is_traced_faster_than_torch_alone_works_out_its_shapes():
    with torch.device("meta"):
        block = [nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Identity()]
        network = nn.Sequential(*(type(m)(*_arguments(m)) for _ in range(334) for m in block[:3])).eval()
        x = torch.empty(1, 8, 16, 16)

    def seconds(work: Callable[[], object]) -> float:
        begin_s = time.perf_counter()
        work()
        return time.perf_counter() - begin_s

    with torch.no_grad():
        alone_s = min(seconds(lambda: network(x)) for _ in range(3))
    traced_s = min(seconds(lambda: trace(network, [x], training=False)) for _ in range(3))
    assert traced_s < alone_s  # a third of it here: the shape rules are asked once for every distinct call
    assert len(trace(network, [x], training=False).operators) == 1002


def test_weights_are_told_from_activations_through_views_and_in_the_backward_pass():
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 14 * 14, 10))
        x = torch.empty(2, 3, 16, 16)
    convolution, norm, linear = trace(network, [x], training=False).operators
    assert convolution.weight_bytes == 4 * (8 * 3 * 9 + 8)
    assert norm.weight_bytes == 4 * 4 * 8  # weight, bias, running mean and variance
    assert linear.weight_bytes == 4 * (8 * 14 * 14 + 1) * 10  # the weight is read through a transposed view
    backward = {op.name: op for op in trace(network, [x.requires_grad_()], training=True).operators}
    assert backward["conv2d_input_gradient"].weight_bytes == 4 * 8 * 3 * 9
    assert backward["conv2d_weight_gradient"].weight_bytes == 0


def _arguments(module: nn.Module) -> tuple[int, ...]:
    return {nn.Conv2d: (8, 8, 3, 1, 1), nn.BatchNorm2d: (8,)}.get(type(module), ())


def test_attention_inside_torchs_own_module_is_counted_as_it_runs():
    class SelfAttention(nn.Module):
        def __init__(self, weights: bool) -> None:
            super().__init__()
            self.attention, self.weights = nn.MultiheadAttention(64, 4, batch_first=True), weights

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=self.weights)[0]

    with torch.device("meta"):
        x = torch.empty(2, 16, 64)
        fused, apart = (trace(SelfAttention(w), [x], training=False).operators for w in (False, True))
    (attention,) = [op for op in fused if op.name == "attention"]
    assert attention.macs == 2 * 4 * 16 * 16 * (16 + 16)  # B heads T S (D + D)
    assert attention.bytes == 4 * (2 * 16 * 64) * 4  # queries, keys, values, result; no scores
    assert "softmax" not in [op.name for op in fused]
    assert "softmax" in [op.name for op in apart]  # who asks for the weights gets them written out
    assert F.scaled_dot_product_attention is torch._C._nn.scaled_dot_product_attention


# --- identity ---


def test_the_same_work_under_three_names_is_one_work():
    groups = plan_of("GroupConv2d", "channels: 256, groups: 32", "[1, 256, 14, 14]")
    size = plan_of("GroupConv2d", "channels: 256, group_size: 8", "[1, 256, 14, 14]")
    torchs = plan_of(
        "torch.nn:Conv2d",
        "in_channels: 256, out_channels: 256, kernel_size: 3, padding: 1, groups: 32, bias: false",
        "[1, 256, 14, 14]",
    )
    assert groups.work == size.work == torchs.work


@pytest.mark.parametrize(
    ("args", "input", "options", "axes"),
    [
        ("channels: 16, group_size: 8", "[2, 16, 8, 8]", "", ""),
        ("channels: 16, group_size: 4, stride: 2", "[2, 16, 8, 8]", "", ""),
        ("channels: 16, group_size: 4, bias: true", "[2, 16, 8, 8]", "", ""),
        ("channels: 16, group_size: 4", "[1, 16, 8, 8]", "", ""),
        ("channels: 16, group_size: 4", "[2, 16, 8, 8]", ", compile: true", ""),
        ("channels: 16, group_size: 4", "[2, 16, 8, 8]", "", "dtype: [float16]"),
        ("channels: 16, group_size: 4", "[2, 16, 8, 8]", "", "dtype: [tf32]"),
        ("channels: 16, group_size: 4", "[2, 16, 8, 8]", "", "layout: [channels_last]"),
        ("channels: 16, group_size: 4", "[2, 16, 8, 8]", "", "mode: [training]"),
        ("channels: 16, group_size: 4", "[2, 16, 8, 8]", "", "cache: [hot]"),
    ],
)
def test_other_work_has_another_identity(args, input, options, axes):  # noqa: A002
    plain = plan_of("GroupConv2d", "channels: 16, group_size: 4")
    assert plan_of("GroupConv2d", args, input, options=options, axes=axes).work != plain.work


def test_gconv_shares_stages_between_networks_and_needs_236_measurements():
    # Distinct group sizes of the nine variants (C/8, C/16, C/32, 4, 8, 16, 32, 1, C) at each of MobileNet-V1's widths.
    widths = [32, 64, 128, 128, 256, 256, 512, 512, 1024]
    distinct = sum(len({C // 8, C // 16, C // 32, 4, 8, 16, 32, 1, C}) for C in widths)
    assert distinct == 59
    cases, _ = expand(load_suite("gconv"), settings={"batch": [1], "dtype": ["float16"]})
    assert len({plan_workload(case).work for case in cases}) == distinct


def test_quick_gconv_needs_13_measurements():
    cases, _ = expand(load_suite("gconv"), quick=True)
    assert len({plan_workload(case).work for case in cases}) == 6 + 7  # 128 channels and 512 channels


def test_pairs_of_whole_networks_match_in_macs():
    cases, _ = expand(load_suite("gconv_networks"), settings={"batch": [1]})
    macs = {(case.point["network"], case.variant): plan_workload(case).macs for case in cases}
    pairs = {case.variant: case.pair for case in cases if case.pair}
    assert len(pairs) == 3
    for (network, variant), value in macs.items():
        if variant in pairs:
            assert value / macs[network, pairs[variant]] == pytest.approx(1.0, abs=0.027)


# --- refusals ---


@pytest.mark.parametrize(
    ("layer", "args", "words"),
    [
        ("GroupConv2d", "channels: 16, groop_size: 4", ["variants.a.args.groop_size", "'group_size'"]),
        ("GroupConv2d", "channels: 16, groups: 3", ["cannot be constructed", "groups=3 does not divide 16"]),
        ("GroupConv2d", "channels: 8, groups: 4", ["does not run on inputs of shape [2, 16, 8, 8]"]),
        ("torch.nn:Conv2d", "in_channels: 16", ["variants.a", "out_channels"]),
        ("GroupConv", "channels: 16", ["'GroupConv'", "did you mean 'GroupConv2d'"]),
        ("os:system", "command: id", ["--plugin os"]),
    ],
)
def test_a_case_that_cannot_be_built_or_run_by_shape_is_a_suite_error(layer, args, words):
    with pytest.raises(SuiteError) as raised:
        plan_of(layer, args)
    message = str(raised.value)
    assert message.startswith("t.yaml:4: variants.a")
    assert "case 'a'" in message
    for word in words:
        assert word in message


def test_training_something_without_parameters_is_a_suite_error():
    with pytest.raises(SuiteError, match="nothing to train"):
        plan_of("torch.nn:ReLU", axes="mode: [training]")


# --- building ---


def built_of(*args: str, l2_bytes: float | None = 0, seed: int = 1, **options: str) -> Built:
    return build(plan_of(*args, **options), CPU, seed=seed, l2_bytes=l2_bytes)


def test_what_is_built_runs_and_is_the_same_for_the_same_seed():
    first, again, other = (built_of("GroupConv2d", "channels: 16, groups: 4", seed=seed) for seed in (1, 1, 2))
    first.step(0)
    assert torch.equal(first.module.weight, again.module.weight)
    assert torch.equal(first.input_sets[0][0], again.input_sets[0][0])
    assert not torch.equal(first.module.weight, other.module.weight)
    assert not torch.equal(first.input_sets[0][0], other.input_sets[0][0])


def test_building_leaves_the_random_numbers_of_others_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    built_of("GroupConv2d", "channels: 16, groups: 4")
    assert torch.equal(torch.rand(1), expected)


def test_inputs_are_normal_numbers_and_token_ids_below_their_bound():
    x = built_of("torch.nn:ReLU", "", "[64, 64]").input_sets[0][0]
    assert abs(float(x.mean())) < 0.1
    assert abs(float(x.std()) - 1) < 0.1
    assert not bool((x == 0).any())
    ids = built_of("torch.nn:Embedding", "num_embeddings: 9, embedding_dim: 2", "{shape: [500], integers: 9}")
    assert set(ids.input_sets[0][0].tolist()) == set(range(9))


@pytest.mark.parametrize(
    ("l2_bytes", "axes", "sets", "cold"),
    [
        (0, "", 2, True),  # at least two
        (4 * 8192, "", 9, True),  # 8192 bytes an input: nine exceed twice the 32 KiB
        (1e9, "", 2048, False),  # at most that many, and said so
        (1e9, "cache: [hot]", 1, False),
        (None, "", 2, False),  # a cache of unknown size may hold them all
    ],
)
def test_input_sets_rotate_through_more_than_twice_the_l2(l2_bytes, axes, sets, cold):
    built = built_of("GroupConv2d", "channels: 16, groups: 4", l2_bytes=l2_bytes, axes=axes)
    assert (len(built.input_sets), built.cold) == (sets, cold)
    assert len({x.data_ptr() for (x,) in built.input_sets}) == sets
    built.step(sets)  # wraps around


def test_a_module_that_is_there_already_is_not_counted_into_the_memory_it_needs():
    module, x = torch.nn.Linear(64, 64), torch.randn(8, 64)
    built_anew = plan_of("torch.nn:Linear", "in_features: 64, out_features: 64", "[8, 64]")
    given = plan_given(built_anew.case, module, [x])
    there = 4 * (64 * 64 + 64 + 8 * 64)
    assert resident_bytes(built_anew, 1e6) - resident_bytes(given, 1e6) == there


def test_layout_and_number_format_reach_weights_and_inputs():
    built = built_of("GroupConv2d", "channels: 16, groups: 4", axes="layout: [channels_last], dtype: [bfloat16]")
    x = built.input_sets[0][0]
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x.dtype == built.module.weight.dtype == torch.bfloat16
    built.step(0)


def test_activations_of_an_untrained_network_do_not_vanish():
    built = built_of("MobileNetV1", "group_size: 8", "[1, 3, 64, 64]")
    sizes: list[float] = []
    for module in built.module.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _m, _i, out: sizes.append(float(out.float().std())))
    built.step(0)
    assert len(sizes) == 27
    # The positive half of a unit normal has a standard deviation of sqrt(1/2 - 1/(2 pi)) = 0.58.
    assert sizes == pytest.approx([0.58] * 27, abs=0.15)
    assert not built.module.training


def test_training_steps_keep_weights_where_they_are():
    built = built_of("GroupConv2d", "channels: 16, groups: 4, bias: true", axes="mode: [training]")
    before = [p.detach().clone() for p in built.module.parameters()]
    for i in range(3):
        built.step(i)
    assert built.module.training
    assert all(torch.equal(a, b) for a, b in zip(before, built.module.parameters(), strict=True))
    assert all(p.grad is None for p in [*built.module.parameters(), *built.input_sets[0]])


def test_halves_are_summed_in_float32_as_the_peaks_of_machine_sheets_are():
    torch.backends.cuda.matmul.allow_fp16_accumulation = True
    built_of("GroupConv2d", "channels: 16, groups: 4")
    assert not torch.backends.cuda.matmul.allow_fp16_accumulation


def test_strict_float32_turns_tf32_off_and_tf32_is_refused_without_the_hardware():
    torch.backends.cudnn.allow_tf32 = True
    built_of("GroupConv2d", "channels: 16, groups: 4")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(CaseError, match="Ampere"):
        built_of("GroupConv2d", "channels: 16, groups: 4", axes="dtype: [tf32]")
