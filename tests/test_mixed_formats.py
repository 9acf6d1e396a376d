"""ResNet-50 with a format for each layer: the float network where all are floats, counted format by format."""

from collections import Counter
from itertools import pairwise

import pytest
import torch
from layer_plans import CPU, plan_of

from energybench.errors import UnsupportedError
from energybench.layers.format_conv import BYTES, FormatConv2d, clamped_sum
from energybench.networks.mixed_resnet import MixedResNet50
from energybench.networks.resnet import ResNet50
from energybench.suite import load_suite
from energybench.suite.cases import expand
from energybench.workload import build, plan_workload
from energybench.workload.formats import pack

IMAGES = "[1, 3, 224, 224]"
STEM, CLASSIFIER = 64 * 147 * 112**2, 2048 * 1000
VARIANTS = {
    "float",
    "int8",
    "int8, ends in float",
    "alternating",
    "fp8 1x1",
    "float compiled",
    "int8 compiled",
    "alternating compiled",
}


@pytest.fixture(scope="module")
def plans():
    cases, skipped = expand(load_suite("mixed_formats"), settings={"batch": [1]})
    assert len(skipped) == 2
    assert all("fp8" in s.case_id or "int4" in s.case_id for s in skipped)
    return {case.variant: plan_workload(case) for case in cases}


def network(formats=None):
    torch.manual_seed(0)
    made = MixedResNet50(formats).eval()
    pack(made)
    return made


def test_every_table_has_the_multiplications_and_weights_of_resnet50(plans):
    assert plans.keys() == VARIANTS
    for plan in plans.values():
        assert plan.unknown == ()
        assert plan.macs == pytest.approx(4.089e9, rel=5e-4)  # zoo entries 2 and 13
        # 25,557,032 with batch norms, whose 26,560 scales are folded into weights.
        assert plan.params == 25_557_032 - 26_560


def test_layers_are_counted_in_their_own_format(plans):
    def share(variant):
        macs = Counter()
        for op in plans[variant].operators:
            macs[op.dtype] += op.macs
        return {dtype: count for dtype, count in macs.items() if count}

    total = plans["float"].macs
    assert share("float") == {"float16": total}
    assert share("int8") == {"float16": STEM + CLASSIFIER, "int8": total - STEM - CLASSIFIER}
    # 1x1 64 -> 64, 3x3, 1x1 64 -> 256 and its shortcut at 56 x 56; 2048 -> 512, 3x3, 512 -> 2048 at 7 x 7.
    ends = 56**2 * (64 * 64 + 9 * 64 * 64 + 2 * 64 * 256) + 49 * (2 * 2048 * 512 + 9 * 512**2)
    assert share("int8, ends in float")["float16"] == STEM + CLASSIFIER + ends
    pointwise = sum(
        op.macs for op in plans["float"].operators if op.family == "conv_pointwise" and ".shortcut" not in op.path
    )
    assert share("fp8 1x1")["float8"] == pointwise
    products = sum(op.dtype == "int8" and op.macs > 0 for op in plans["alternating"].operators)
    assert products == 8 * 2 + 8 + 1  # even blocks: both 1x1; odd ones: the 3x3; of blocks 0, 3, 7, 13 one shortcut


def test_a_change_of_format_is_work_and_bytes_move_less(plans):
    eager = {variant: plan.eager_bytes for variant, plan in plans.items()}
    # Quantising divides floats by their step.
    divisions = {v: sum(op.name == "div" for op in plan.operators) for v, plan in plans.items()}
    assert divisions["float"] == 0
    assert divisions["int8"] == 1, "the stem leaves floats"
    assert divisions["int8, ends in float"] == 1, "block 0 leaves floats"
    # Even blocks: before both 1x1 layers; odd ones: before the 3x3.
    assert divisions["alternating"] == 8 * 2 + 8
    assert eager["alternating"] > eager["float"]
    # A byte less a weight; a scale and an offset of 32 bits instead of a bias of 16 for each output channel.
    biases = 26_560
    weights = plans["int8"].params - biases - 64 * 147 - (2048 * 1000 + 1000)
    assert plans["float"].compulsory_bytes - plans["int8"].compulsory_bytes == weights - 6 * (biases - 64)


def test_a_table_of_floats_is_resnet50_with_batch_norms_folded():
    ours, published = network(), ResNet50().eval()
    convs = [m for m in published.modules() if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in published.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    mine = {name: m.conv for name, m in ours.named_modules() if isinstance(m, FormatConv2d)}
    assert len(convs) == len(norms) == len(mine) == 53
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for theirs, norm, layer in zip(convs, norms, mine.values(), strict=True):
            layer.bias.normal_(std=0.1, generator=generator)
            norm.weight.uniform_(0.5, 2, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            theirs.weight.copy_(layer.weight / scale[:, None, None, None])
            norm.bias.copy_(layer.bias)
        published.classifier.load_state_dict(ours.classifier.state_dict())
        x = torch.randn(2, 3, 64, 64, generator=generator)
        torch.testing.assert_close(ours(x), published(x), rtol=1e-3, atol=1e-4)


TABLES = [
    {"*": "int8"},
    {"*": "int8", "blocks.1.*": "float"},
    {"*": "int8", "blocks.1.reduce": "float"},
    {"*.spatial": "int8"},
    {"blocks.*[02468].*": "int8"},
    {"*.expand": "int8", "*.shortcut": "int8"},
]


@pytest.mark.parametrize("formats", TABLES)
def test_integers_compute_the_float_network_to_their_rounding(formats):
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        exact, found = network()(x), network(formats)(x)
    noise = (found - exact).pow(2).mean() / exact.var()
    assert 0 < noise < 10 ** (-15 / 10)


def test_activations_fill_their_bytes_and_few_saturate():
    made, bytes_out = network({"*": "int8"}), []
    for module in made.modules():
        if isinstance(module, FormatConv2d):
            module.register_forward_hook(lambda _, __, y: bytes_out.append(y))
    with torch.no_grad():
        made(torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)))
    integers = [y for y in bytes_out if y.dtype == torch.int8]
    assert len(integers) >= 50
    for y in integers:
        assert y.float().std() > 5
        assert y.abs().ge(127).float().mean() < 0.05


def test_a_layer_is_the_same_whatever_its_neighbours_read():
    generator = torch.Generator().manual_seed(0)
    q = torch.randint(-128, 128, (2, 16, 6, 6), generator=generator, dtype=torch.int8)
    q = q.to(memory_format=torch.channels_last)
    outputs = {}
    for reads in ("int8", "float"):
        for writes in ("int8", "float"):
            torch.manual_seed(0)
            layer = FormatConv2d(16, 24, 3, stride=2, format="int8", reads=reads, writes=writes, relu=True)
            pack(layer)
            y = layer(q if reads == "int8" else BYTES.restored(q))
            assert y.shape == (2, 24, 3, 3)
            outputs[reads, writes] = y if writes == "int8" else BYTES.quantized(y)
    torch.manual_seed(0)
    exact = FormatConv2d(16, 24, 3, stride=2, relu=True)(BYTES.restored(q)).clamp(max=127 * BYTES.scale)
    # Half a step of the output, and what rounding 144 weights of a twelfth at most adds up to: half a step in practice.
    assert (BYTES.restored(outputs["int8", "int8"]) - exact).abs().max() < 1.5 * BYTES.scale
    for one, other in pairwise(outputs.values()):
        assert (one.int() - other.int()).abs().max() <= 1  # a tie may round either way
    assert outputs["int8", "int8"].min() == 0


def test_bytes_add_up_without_overflow():
    x, y = torch.tensor([127, -128, 5], dtype=torch.int8), torch.tensor([127, -128, 6], dtype=torch.int8)
    assert clamped_sum(x, y).tolist() == [127, 0, 11]


def test_fp8_is_unsupported_on_a_cpu_and_absent_beyond_1x1():
    plan = plan_of("MixedResNet50", 'formats: {"*.reduce": fp8}', "[1, 3, 32, 32]", "float16")
    with pytest.raises(UnsupportedError, match="float8"):
        build(plan, CPU, seed=0)
    with pytest.raises(ValueError, match="3x3"):
        MixedResNet50({"*.spatial": "fp8"})


def test_a_table_that_names_no_layer_or_format_is_refused():
    with pytest.raises(ValueError, match=r"blocks\.16"):
        MixedResNet50({"blocks.16.*": "int8"})
    with pytest.raises(ValueError, match="int4"):
        MixedResNet50({"*": "int4"})


def test_the_quick_part_runs():
    for case in expand(load_suite("mixed_formats"), quick=True)[0]:
        plan = plan_workload(case)
        if case.compile or case.variant == "fp8 1x1":
            continue  # slow to compile; no float8 here
        built = build(plan, CPU, seed=0)
        assert built.module(*built.input_sets[0]).isfinite().all()


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9), reason="needs float8 tensor cores"
)
@pytest.mark.parametrize("formats", ['"*": int8', '"*.reduce": fp8, "*.expand": fp8'])
def test_tables_are_near_the_float_network_on_a_gpu(formats):
    exact, found = (
        build(
            plan_of("MixedResNet50", f"formats: {{{table}}}", "[2, 3, 160, 160]", "float16"),
            torch.device("cuda"),
            seed=0,
        )
        for table in ("", formats)
    )
    x = exact.input_sets[0][0]
    with torch.no_grad():
        y, z = exact.module(x).float(), found.module(x).float()
    assert (z - y).pow(2).mean() < 0.1 * y.var()
