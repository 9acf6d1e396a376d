"""ResNet-50 as it is deployed, batch norms folded, with a number format for each layer: FLIQS's table."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from energybench.layers.format_conv import BYTES, Activation, Format, FormatConv2d, as_floats, clamped_sum
from energybench.networks.resnet import STAGES

STEM_GAIN, BRANCH_GAIN = 0.3, 0.25
"""Of initial weights over He's: what keeps activations within +-4 from the first layer to the last. Ours."""


class MixedResNet50(nn.Module):
    """ResNet-50 with a table layer -> format, for N x 3 x 224 x 224 images; output N x ``classes``.

    Layers are ``blocks.0.reduce`` (1x1), ``blocks.0.spatial`` (3x3), ``blocks.0.expand`` (1x1) and, in blocks 0, 3, 7
    and 13, ``blocks.0.shortcut`` (1x1), to ``blocks.15.expand``. Stem and classifier are floats: PyTorch's integer
    product on CUDA takes neither 147 columns nor a single row. A residual sum is one of bytes where all it joins are
    bytes and the next block reads bytes, otherwise one of floats.

    Args:
        formats: shell pattern of layer names to ``float`` (the case's), ``int8`` or ``fp8`` (1x1, stride 1); where
            several match the last one counts, where none does it is ``float``.
        classes: outputs of the classifier.

    Raises:
        ValueError: a pattern matches no layer, or a layer does not have the format.

    Source: FLIQS (arXiv 2308.03290) for the table; He et al. (arXiv 1512.03385), table 1, stride in the 3x3 layer, with
    batch norms as biases. The weights are He's, scaled so that static ranges fit; ours, as are the tables of the suite.
    """

    def __init__(self, formats: Mapping[str, Format] | None = None, *, classes: int = 1000) -> None:
        super().__init__()
        table = _table(formats or {})
        self.stem = FormatConv2d(3, 64, 7, stride=2, relu=True, writes="float")
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks = []
        for number, (C, width, stride) in enumerate(_shapes()):
            mine = {layer: table[f"blocks.{number}.{layer}"] for layer in _layers(number)}
            blocks.append(_Block(C, width, stride, mine, _activation(table.get(f"blocks.{number + 1}.reduce"))))
        self.reads = _activation(table["blocks.0.reduce"])
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(4 * STAGES[-1][0], classes)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.pool(self.stem(x))
        x = self.blocks(BYTES.quantized(x) if self.reads == "int8" else x)
        scores: Tensor = self.classifier(x.mean((2, 3)))
        return scores


class _Block(nn.Module):
    """A bottleneck of four layers or three, each writing what the next one reads; ``reduce`` decides what comes in."""

    def __init__(self, C: int, width: int, stride: int, formats: Mapping[str, Format], writes: Activation) -> None:
        super().__init__()
        K, reads = 4 * width, _activation(formats["reduce"])
        spatial, expand, shortcut = (formats.get(name) for name in ("spatial", "expand", "shortcut"))
        joined = _activation(shortcut) if shortcut else reads
        self.writes = writes
        self.sum: Activation = "int8" if {_activation(expand), joined, writes} == {"int8"} else "float"
        self.reduce = FormatConv2d(
            C, width, format=formats["reduce"], reads=reads, writes=_activation(spatial), relu=True
        )
        self.spatial = FormatConv2d(
            width, width, 3, stride=stride, format=formats["spatial"], reads=_activation(spatial),
            writes=_activation(expand), relu=True,
        )  # fmt: skip
        self.expand = FormatConv2d(width, K, format=formats["expand"], reads=_activation(expand), writes=self.sum)
        self.shortcut: FormatConv2d | None = None
        if shortcut:
            self.shortcut = FormatConv2d(C, K, stride=stride, format=shortcut, reads=reads, writes=self.sum)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x K x H/stride x W/stride."""
        y = self.expand(self.spatial(self.reduce(x)))
        x = self.shortcut(x) if self.shortcut is not None else x
        if self.sum == "int8":
            return clamped_sum(y, x)
        y = (y + (as_floats(x, y.dtype) if x.dtype == torch.int8 else x)).relu_()
        return BYTES.quantized(y) if self.writes == "int8" else y


def _shapes() -> list[tuple[int, int, int]]:
    """Input channels, width and stride of each of the 16 blocks."""
    shapes, C = [], 64
    for index, (width, count) in enumerate(STAGES):
        for block in range(count):
            shapes.append((C, width, 2 if index > 0 and block == 0 else 1))
            C = 4 * width
    return shapes


def _layers(number: int) -> list[str]:
    C, width, _ = _shapes()[number]
    return ["reduce", "spatial", "expand", *(["shortcut"] if 4 * width != C else [])]


def _table(formats: Mapping[str, Format]) -> dict[str, Format]:
    """The format of every layer by name."""
    names = [f"blocks.{number}.{layer}" for number in range(len(_shapes())) for layer in _layers(number)]
    for pattern in formats:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"formats: {pattern!r} matches none of the layers {names[0]} ... {names[-1]}")
    table: dict[str, Format] = dict.fromkeys(names, "float")
    for pattern, chosen in formats.items():
        table.update({name: chosen for name in names if fnmatchcase(name, pattern)})
    return table


def _activation(format: Format | None) -> Activation:  # noqa: A002 - the word of suites
    """What a layer reads: integers bytes, all others floats."""
    return "int8" if format == "int8" else "float"


def _initialise(network: MixedResNet50) -> None:
    """Weights normal with He's deviation and a gain that keeps what is added up from growing; biases 0."""
    for name, module in network.named_modules():
        if not isinstance(module, FormatConv2d):
            continue
        gain = STEM_GAIN if name == "stem" else 1.0
        if name.endswith("shortcut"):
            gain = 0.5**0.5
        elif name.endswith("expand"):
            gain = 0.5**0.5 if network.get_submodule(name.rpartition(".")[0]).shortcut is not None else BRANCH_GAIN
        weight: Tensor = module.conv.weight  # type: ignore[assignment]
        nn.init.normal_(weight, std=gain * (2 / weight[0].numel()) ** 0.5)
        bias = module.bias if module.bias is not None else module.conv.bias
        nn.init.zeros_(bias)  # type: ignore[arg-type]
