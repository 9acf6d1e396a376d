"""Which grouped convolutions do the E2GC networks have? A table of shapes, read without torch.

A test traces the shipped networks and compares every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from energybench.analysis.allocation import GroupedStage, common_group_sizes
from energybench.cost import DTYPE_BYTES, OperatorCost, conv2d_cost
from energybench.errors import EnergyBenchError
from energybench.spelling import did_you_mean


@dataclass(frozen=True)
class NetworkLayer:
    """A grouped convolution as it stands in a network, but for its group size: C in and C out.

    Attributes:
        channels: C.
        size: side of the output in pixels.
        stride: step; the input's side is ``stride`` times the output's.
        repeat: how often the network has it.
        kernel_size: K, side of the filter.
    """

    channels: int
    size: int
    stride: int = 1
    repeat: int = 1
    kernel_size: int = 3

    @property
    def stage(self) -> GroupedStage:
        """The layer as fixed-MAC arguments see it."""
        return GroupedStage(self.channels, self.size, self.repeat)

    def operator(self, group_size: int, batch: int, dtype: str) -> OperatorCost:
        """One call of it, counted."""
        side = self.size * self.stride
        return conv2d_cost(
            N=batch, C=self.channels, H=side, W=side, K=self.channels, R=self.kernel_size, S=self.kernel_size,
            groups=self.channels // group_size, stride=self.stride, padding=self.kernel_size // 2, dtype=dtype,
        )  # fmt: skip

    def macs(self, group_size: float, batch: int) -> float:
        """Multiply-accumulates of one call, B S_o C G K^2, at a real group size."""
        return batch * self.size**2 * self.params(group_size)

    def params(self, group_size: float) -> float:
        """Weights, C G K^2, without bias."""
        return self.channels * group_size * self.kernel_size**2

    def bytes(self, group_size: float, batch: int, dtype: str) -> float:
        """Compulsory bytes of one call: input, weights and output once. A strided layer reads more than it writes."""
        activations = batch * self.channels * self.size**2 * (1 + self.stride**2)
        return DTYPE_BYTES[dtype] * (activations + self.params(group_size))


@dataclass(frozen=True)
class GroupedNetwork:
    """A network whose 3x3 layers can have any group size.

    Attributes:
        name: as on the command line and in suites.
        title: for people.
        layers: its grouped layers, equal ones once, in order of execution.
        other_macs: multiply-accumulates of one inference in all other layers.
        other_params: weights and biases of all other layers, batch norms left out.
        source: where the shapes come from.
    """

    name: str
    title: str
    layers: tuple[NetworkLayer, ...]
    other_macs: int
    other_params: int
    source: str

    @property
    def stages(self) -> tuple[GroupedStage, ...]:
        """Its grouped layers as fixed-MAC arguments see them."""
        return tuple(layer.stage for layer in self.layers)

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Group sizes every one of its layers can have, ascending; as numbers of groups they are the possible ones."""
        return common_group_sizes([layer.channels for layer in self.layers])


def grouped_network(name: str) -> GroupedNetwork:
    """The network called ``name``.

    Raises:
        EnergyBenchError: its shapes are not in the table.
    """
    key = name.lower()
    if key not in NETWORKS:
        raise EnergyBenchError(
            f"the shapes of {name!r} are not known{did_you_mean(key, NETWORKS)}",
            where="model group-size --network",
            remedy=f"one of {', '.join(NETWORKS)}; a single layer is given by --channels and --size",
        )
    return NETWORKS[key]


NETWORKS: Mapping[str, GroupedNetwork] = {
    network.name: network
    for network in (
        GroupedNetwork(
            name="mobilenet_v1",
            title="MobileNet-V1 at 224 x 224",
            layers=(
                NetworkLayer(32, 112),
                NetworkLayer(64, 56, stride=2),
                NetworkLayer(128, 56),
                NetworkLayer(128, 28, stride=2),
                NetworkLayer(256, 28),
                NetworkLayer(256, 14, stride=2),
                NetworkLayer(512, 14, repeat=5),
                NetworkLayer(512, 7, stride=2),
                NetworkLayer(1024, 7),
            ),
            other_macs=10_838_016 + 539_492_352 + 1_024_000,  # stem, pointwise layers, classifier
            other_params=4_165_448,
            source="Howard et al., MobileNets (arXiv 1704.04861), table 1, its depthwise layers grouped",
        ),
        GroupedNetwork(
            name="resnext50",
            title="ResNeXt-50 at 224 x 224",
            layers=(
                NetworkLayer(128, 56, repeat=3),
                NetworkLayer(256, 28, stride=2),
                NetworkLayer(256, 28, repeat=3),
                NetworkLayer(512, 14, stride=2),
                NetworkLayer(512, 14, repeat=5),
                NetworkLayer(1024, 7, stride=2),
                NetworkLayer(1024, 7, repeat=2),
            ),
            other_macs=3_999_268_864,
            other_params=23_546_024,
            source="Xie et al., Aggregated Residual Transformations (arXiv 1611.05431), table 1, 32x4d",
        ),
    )
}
"""By name. Macs and params of the other layers are counted on the shipped networks."""
