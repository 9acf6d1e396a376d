"""Variants that claim to compute the same are held to it before they are measured."""

from quiet import measured

from energybench.analysis.summary import summarize
from energybench.journal import load

TEXT = """
name: same
baseline: conv
variants:
  conv: {layer: "torch.nn:Conv2d", args: {in_channels: 8, out_channels: 8, kernel_size: 3, padding: 1, bias: false}}
  twin: {layer: "layers_for_test:Twin", equivalent: true}
  impostor: {layer: "layers_for_test:Impostor", equivalent: true}
  stranger:
    layer: "torch.nn:Conv2d"
    args: {in_channels: 8, out_channels: 8, kernel_size: 1, bias: false}
    equivalent: true
input: [2, 8, 12, 12]
"""

LAYERS = """
import torch
from torch.nn import functional as F

class Twin(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.filter = torch.nn.Parameter(torch.randn(8, 8, 3, 3))
    def forward(self, x):
        columns = F.unfold(x, 3, padding=1)
        return (self.filter.flatten(1) @ columns).view(x.shape)

class Impostor(Twin):
    def forward(self, x):
        return super().forward(x) * 1.01
"""


def test_only_variants_with_the_baselines_outputs_are_measured(tmp_path):
    plugin = tmp_path / "layers_for_test.py"
    plugin.write_text(LAYERS)
    folder, _ = measured(tmp_path, text=TEXT, device="cpu", meter="none", quick=True, plugins=(str(plugin),))
    rows = summarize(load(folder)).cases.set_index("variant")
    assert rows.loc["twin", "status"] == "ok"
    assert rows.loc["impostor", "status"] == "failed"
    assert "differs by" in rows.loc["impostor", "reason"]
    assert rows.loc["stranger", "status"] == "failed"
    assert "do not correspond" in rows.loc["stranger", "reason"]
