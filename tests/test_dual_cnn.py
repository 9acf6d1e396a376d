"""Two complementary CNNs with a memory: identities of zoo_conv.md, entry 14; declared rates hold on the data."""

from __future__ import annotations

import pytest
import torch
from quiet import measured
from torch.utils.flop_counter import FlopCounterMode

from energybench.analysis.summary import summarize
from energybench.errors import CaseError
from energybench.journal import load
from energybench.networks.cifar import CifarMobileNetV2, CifarResNet
from energybench.networks.dual_cnn import DualCNN
from energybench.suite import expand, load_suite, parse_suite
from energybench.workload import build, plan_workload
from energybench.workload.rates import realised
from energybench.workload.trace import trace

CPU = torch.device("cpu")
PAIR = {"first": "resnet20", "second": "resnet32"}


def plan_of(args: str, images: int = 10, **fields: str):
    options = "".join(f", {key}: {value}" for key, value in fields.items())
    text = f"name: t\nbaseline: a\nvariants: {{a: {{layer: DualCNN, args: {{{args}}}{options}}}}}\n"
    return plan_workload(expand(parse_suite(text + f"input: [{images}, 3, 32, 32]\n"))[0][0])


def with_statistics(module: DualCNN, images: torch.Tensor) -> DualCNN:
    """Batch norms as after training on such images."""
    module.train()
    with torch.no_grad():
        for _ in range(20):
            module.run_all(images)
    return module.eval()


@pytest.mark.parametrize(
    ("network", "params", "millions"),
    [  # parameters and MACs as zoo_conv.md (entry 40) and the table of chenyaofo/pytorch-cifar-models give them
        (lambda: CifarResNet(20), 272_474, 40.81),
        (lambda: CifarResNet(56), pytest.approx(0.86e6, abs=5e3), 125.75),
        (lambda: CifarMobileNetV2(0.5), pytest.approx(0.70e6, abs=5e3), 27.97),
    ],
)
def test_the_networks_have_the_published_counts(network, params, millions):
    with torch.device("meta"):
        module, x = network(), torch.empty(1, 3, 32, 32)
    assert sum(p.numel() for p in module.parameters()) == params
    # The table counts convolutions and the classifier.
    assert sum(op.macs for op in trace(module, [x], training=False).operators) / 1e6 == pytest.approx(
        millions, abs=0.03
    )


def test_a_threshold_of_zero_never_runs_the_second_and_one_above_one_always_does():
    torch.manual_seed(0)
    images = torch.randn(6, 3, 32, 32)
    module = with_statistics(DualCNN(**PAIR), images)
    with torch.no_grad():
        first, second = (network(images).softmax(1) for network in (module.first, module.second))
        module.threshold = 0.0
        assert torch.equal(module(images), first.argmax(1))
        assert module.events["second_usage"] == (0, 6)
        module.threshold = 1.1
        labels = module(images)
    assert module.events["second_usage"] == (6, 6)
    (a1, a2), (b1, b2) = (p.topk(2).values.T for p in (first, second))
    surer = (b1 - b2) > (a1 - a2)
    assert 0 < int(surer.sum()) < 6
    assert torch.equal(labels, torch.where(surer, second.argmax(1), first.argmax(1)))


@pytest.mark.parametrize("batched", [False, True])
def test_a_stream_in_which_every_image_occurs_twice_hits_the_memory_half_of_the_time(batched):
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    module = with_statistics(DualCNN(**PAIR, memory=True, batched=batched), images)
    module.threshold = 1.1
    stream = images[[0, 1, 1, 2, 0, 3, 3, 2]]
    with torch.no_grad():
        labels = module(stream)
        expected = DualCNN.forward(_without_memory(module), images)
    assert module.events == {"second_usage": (4, 4), "duplicates": (4, 8)}
    assert torch.equal(labels, expected[[0, 1, 1, 2, 0, 3, 3, 2]])


def _without_memory(module: DualCNN) -> DualCNN:
    twin = DualCNN(**PAIR).eval()
    twin.load_state_dict(module.state_dict())
    twin.threshold = module.threshold
    return twin


def test_the_hash_has_a_bit_for_every_pixel_brighter_than_its_left_neighbour():
    module = DualCNN()
    ramp = torch.arange(32.0).expand(1, 3, 32, 32)
    assert module.keys(ramp).tolist() == [-1]  # all 64 bits
    assert module.keys(-ramp).tolist() == [0]
    # Brighter to the right in the upper half only: rows 0 to 3, whose bits come first.
    half = ramp.clone()
    half[:, :, 16:] *= -1
    assert module.keys(half).tolist() == [2**32 - 1]


@pytest.mark.parametrize("batched", ["false", "true"])
@pytest.mark.parametrize(("duplicates", "usage"), [(0.0, 0.3), (0.5, 0.2), (0.5, 1.0), (0.5, 0.0)])
def test_declared_rates_hold_on_the_data_and_the_count_is_of_the_same_work(duplicates, usage, batched):
    plan = plan_of(
        f"first: resnet20, second: resnet32, second_usage: {usage}, memory: true, duplicates: {duplicates}, "
        f"batched: {batched}"
    )
    built = build(plan, CPU, seed=1)
    fresh = round(10 * (1 - duplicates))
    notes = (f"second_usage: {round(usage * fresh)} of {fresh} an iteration",)
    assert built.notes == (*notes, f"duplicates: {10 - fresh} of 10 an iteration")
    with FlopCounterMode(display=False) as counter:
        built.step(0)
    assert counter.get_total_flops() == 2 * plan.macs


def test_macs_are_the_expectation_at_the_declared_rates():
    def macs(args: str) -> int:
        return plan_of(args).macs

    first, second = macs("first: resnet20"), macs("first: resnet32")
    both = "first: resnet20, second: resnet32"
    assert macs(f"{both}, second_usage: 0.3") == first + 3 * second // 10
    assert macs(f"{both}, second_usage: 0.2, memory: true, duplicates: 0.5") == first // 2 + second // 10
    assert macs(f"{both}, second_usage: 1.0, memory: true, duplicates: 0.5, batched: true") == (first + second) // 2


def test_a_stream_with_other_rates_than_declared_fails_the_case():
    torch.manual_seed(0)
    images = torch.randn(6, 3, 32, 32)
    module = with_statistics(DualCNN(**PAIR, second_usage=0.5, memory=True, duplicates=0.5), images)
    with pytest.raises(CaseError, match=r"duplicates happened 0 times in 6, which is not the declared rate of 0\.5"):
        realised(module, [(images,)])
    with pytest.raises(CaseError, match="rotates through several"):
        realised(module, [(images,), (images,)])


def test_the_run_says_what_rates_its_data_had(tmp_path):
    text = """
name: t
baseline: a
variants: {a: {layer: DualCNN, args: {first: resnet20, second: resnet20, second_usage: 0.5}}}
input: [4, 3, 32, 32]
"""
    folder, _ = measured(tmp_path, text=text, device="cpu", quick=True)
    run = load(folder)
    assert any("second_usage: 2 of 4 an iteration" in note for note in run.record.notes)
    assert summarize(run).cases["status"].tolist() == ["ok"]


def test_the_suites_rates_are_such_that_whole_images_have_them():
    cases, _ = expand(load_suite("dual_cnn"))
    for case in cases:
        images = case.inputs[0].shape[0]
        repeated = case.args.get("duplicates", 0.0) * images
        used = case.args.get("second_usage", 0.0) * (images - repeated)
        assert repeated == pytest.approx(round(repeated))
        assert used == pytest.approx(round(used))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": "resnet21"}, "'resnet21' is none of"),
        ({"second": "resnet20", "second_usage": 1.5}, "second_usage=1.5"),
        ({"memory": True, "duplicates": 1.0}, "duplicates=1.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DualCNN(**arguments)


def test_a_depth_that_is_no_cifar_resnet_is_refused():
    with pytest.raises(ValueError, match="depth=21"):
        CifarResNet(21)
