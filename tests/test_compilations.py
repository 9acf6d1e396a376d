"""Every case that asks for torch.compile runs compiled, however many a run has, or fails with the reason."""

import functools

import pytest
import torch

from energybench.devices.cpu import CpuDevice
from energybench.errors import CaseError
from energybench.suite import expand, parse_suite
from energybench.workload import compiled_graphs, plan_workload

MANY = """
name: many
baseline: compiled
variants:
  compiled: {layer: "torch.nn:Linear", args: {in_features: $width, out_features: 8}, compile: true}
input: [2, $width]
axes:
  width: [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]
"""

OPAQUE = """
name: opaque
baseline: compiled
variants:
  compiled: {layer: "opaque_to_dynamo:Opaque", compile: true}
input: [2, 8]
"""


@pytest.fixture(autouse=True)
def tracing_alone(monkeypatch):
    """Graphs are made, and run operator by operator: what is asked here needs no code generator."""
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


def test_the_tenth_shape_of_a_layer_is_compiled_like_the_first(monkeypatch):
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    device = CpuDevice()
    held = []
    for case in expand(parse_suite(MANY))[0]:
        graphs = compiled_graphs()
        held.append(device.prepare(plan_workload(case)))
        assert compiled_graphs() == graphs + 1, case.id
    graphs = compiled_graphs()
    for work in held:
        loop = device.loop(work)
        loop.stop()
    assert compiled_graphs() == graphs, "a loop's own thread needed graphs of its own"


def test_a_second_module_of_the_same_structure_shares_its_graph_and_is_compiled():
    plan = plan_workload(expand(parse_suite(MANY))[0][0])
    device = CpuDevice()
    device.prepare(plan)
    graphs = compiled_graphs()
    device.prepare(plan)
    assert compiled_graphs() == graphs


def test_a_layer_that_cannot_be_compiled_fails_instead_of_running_eagerly(tmp_path):
    plugin = tmp_path / "opaque_to_dynamo.py"
    plugin.write_text(
        "import torch\n"
        "class Opaque(torch.nn.Module):\n"
        "    @torch._dynamo.disable\n"
        "    def forward(self, x):\n"
        "        return x * 2\n"
    )
    plugins = (str(plugin),)
    (case,), _ = expand(parse_suite(OPAQUE))
    with pytest.raises(CaseError, match="made no graph of it"):
        CpuDevice(plugins=plugins).prepare(plan_workload(case, plugins=plugins))
