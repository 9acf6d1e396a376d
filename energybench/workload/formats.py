"""How do a layer's weights and inputs get their format? Packed once after placing, handed over already encoded.

Compressed and quantised layers are made with ordinary weights, so that a seed means the same weights everywhere, and
are packed where they will run: only there is it known whether the format is supported. Packing works on meta tensors
too, so the number of stored weights must follow from shapes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class PackedLayer(Protocol):
    """A layer whose weights are stored in a format of their own.

    Attributes:
        stored_weights: weights that are stored; several may share a byte, and a zero that is stored counts.
        value_pattern: in words, what is special about the stored values where shapes do not tell (which of them are
            zeros); layers that differ in it are not the same work.
    """

    stored_weights: int
    value_pattern: str

    def pack_weights(self) -> None:
        """Replace the weights by their packed form, on the device where they are.

        Raises:
            UnsupportedError: the device does not have the format.
        """


@runtime_checkable
class EncodedInput(Protocol):
    """A layer that reads its input in a format or order of its own."""

    def encode_input(self, x: Tensor) -> Tensor:
        """The input as a predecessor of the same kind would have left it; done before anything is measured."""


def packed_layers(module: nn.Module) -> Iterator[PackedLayer]:
    """The layers within ``module`` that have a format of their own."""
    return (layer for layer in module.modules() if isinstance(layer, PackedLayer))


def pack(module: nn.Module) -> None:
    """Pack every layer of ``module`` that has a format of its own.

    Raises:
        UnsupportedError: the device does not have one of the formats.
    """
    for layer in list(packed_layers(module)):
        layer.pack_weights()


def encoded(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """``inputs`` as ``module`` reads them."""
    return tuple(module.encode_input(x) for x in inputs) if isinstance(module, EncodedInput) else tuple(inputs)
