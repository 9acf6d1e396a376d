"""Two complementary CNNs with a memory: the second runs when the first is unsure, neither for an image seen before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energybench.networks.cifar import CifarMobileNetV2, CifarResNet

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "resnet20": lambda: CifarResNet(20),
    "resnet32": lambda: CifarResNet(32),
    "resnet44": lambda: CifarResNet(44),
    "resnet56": lambda: CifarResNet(56),
    "mobilenetv2_x0_5": lambda: CifarMobileNetV2(0.5),
    "mobilenetv2_x1_0": lambda: CifarMobileNetV2(1.0),
}
"""What the networks are called in chenyaofo/pytorch-cifar-models."""

GRAY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


class DualCNN(nn.Module):
    """Labels a stream of images, S x 3 x 32 x 32 to S, one image after another.

    An image whose hash is in the memory gets the label stored there. Else the first network runs; if the difference of
    its two largest probabilities is below the threshold, the second runs too, and the label is that of the network
    whose difference is larger. The memory is a table on the host, empty at the beginning of every stream; so is the
    decision, which makes the host wait for the device twice an image.

    The threshold is set so that the declared ``second_usage`` holds on the stream, and the stream holds as many
    repeated images as ``duplicates`` declares. An oracle that knew when the first network is wrong would do the same
    work at the same usage.

    Args:
        first: name of the first network, one of ``NETWORKS``.
        second: name of the second; none: the first alone decides.
        second_usage: share of the images that the first network saw for which the second runs too.
        memory: look every image up in the memory first.
        duplicates: share of the stream's images that were in it before; only a memory notices.
        batched: all images of a stream at once, the second network on those of which the first is unsure.

    Raises:
        ValueError: there is no such network, a rate is not from 0 to 1, or every image would repeat another.

    Source: Kinnas et al., Reducing Inference Energy Consumption Using Two Complementary CNNs, and its repository
        (michaelkinnas): score, threshold, post-check, memory with dHash. ``batched`` is ours.
    """

    def __init__(
        self,
        first: str = "resnet20",
        second: str | None = None,
        *,
        second_usage: float = 0.0,
        memory: bool = False,
        duplicates: float = 0.0,
        batched: bool = False,
    ) -> None:
        super().__init__()
        for name in filter(None, (first, second)):
            if name not in NETWORKS:
                raise ValueError(f"{name!r} is none of {', '.join(NETWORKS)}")
        if not 0 <= second_usage <= 1 or not 0 <= duplicates < 1:
            raise ValueError(f"second_usage={second_usage} is from 0 to 1, duplicates={duplicates} below 1")
        self.first = NETWORKS[first]()
        self.second = NETWORKS[second]() if second is not None else None
        self.memory, self.batched = memory, batched
        self.rates = ({"second_usage": second_usage} if second is not None else {}) | (
            {"duplicates": duplicates} if memory else {}
        )
        self.events: dict[str, tuple[int, int]] = {}
        self.threshold = 0.0
        self.register_buffer("gray", torch.tensor(GRAY)[:, None, None])
        self.register_buffer("bits", torch.ones(64, dtype=torch.int64) << torch.arange(64))

    def forward(self, images: Tensor) -> Tensor:
        """Labels of a stream of images, on the host."""
        if images.is_meta:
            return self._as_declared(images)
        memory: dict[int, int] = {}
        labels: list[int] = []
        ran_first = ran_second = 0
        for part in [images] if self.batched else images.split(1):
            # Without a memory an image's key is its place: no two are alike.
            keys = self.keys(part).tolist() if self.memory else list(range(len(labels), len(labels) + len(part)))
            new = [i for i in _first_of_each(keys) if keys[i] not in memory]
            if new:
                found, unsure = self._decided(part if len(new) == len(part) else _picked(part, new))
                memory |= {keys[i]: label for i, label in zip(new, found, strict=True)}
                ran_first += len(new)
                ran_second += unsure
            labels += [memory[key] for key in keys]
        happened = {"second_usage": (ran_second, ran_first), "duplicates": (len(labels) - ran_first, len(labels))}
        self.events = {event: happened[event] for event in self.rates}
        return torch.tensor(labels)

    def keys(self, images: Tensor) -> Tensor:
        """The dHash of each image: gray, resized to 8 x 9, one bit for every pixel brighter than its left neighbour."""
        gray = (images * self.get_buffer("gray")).sum(1, keepdim=True)
        small = F.interpolate(gray, size=(8, 9), mode="bilinear", align_corners=False)
        brighter = (small[..., 1:] > small[..., :-1]).flatten(1)
        return (brighter * self.get_buffer("bits")).sum(1)

    def arrange_input(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The stream with its last images replaced by copies of earlier ones, in random order."""
        repeated = _count(self.rates.get("duplicates", 0.0), len(x))
        fresh = len(x) - repeated
        source = torch.arange(len(x), device=x.device)
        source[fresh:] = source[fresh:] % fresh
        order = torch.randperm(len(x), generator=generator, device=x.device)
        return x[source[order]].contiguous(memory_format=torch.preserve_format)

    def run_all(self, x: Tensor) -> None:
        """Both networks on the whole stream."""
        for network in filter(None, (self.first, self.second)):
            network(x)

    def calibrate(self, x: Tensor) -> None:
        """A threshold below which the first network's score falls for exactly the declared share of new images."""
        if self.second is None:
            return
        new = _picked(x, _first_of_each(self.keys(x).tolist())) if self.memory else x
        parts = [new] if self.batched else new.split(1)
        scores = sorted(score for part in parts for score in _scored(self.first(part))[1].tolist())
        below = _count(self.rates["second_usage"], len(scores))
        bounds = [0.0, *((a + b) / 2 for a, b in pairwise(scores)), float("inf")]
        self.threshold = bounds[below]

    def _decided(self, images: Tensor) -> tuple[list[int], int]:
        """Labels of images that are not remembered, and for how many of them the second network ran."""
        labels, scores = (values.tolist() for values in _scored(self.first(images)))
        unsure = [i for i, score in enumerate(scores) if score < self.threshold]
        if self.second is None or not unsure:
            return labels, 0
        doubtful = images if len(unsure) == len(images) else _picked(images, unsure)
        second_labels, second_scores = (values.tolist() for values in _scored(self.second(doubtful)))
        for i, label, score in zip(unsure, second_labels, second_scores, strict=True):
            if score > scores[i]:
                labels[i] = label
        return labels, len(unsure)

    def _as_declared(self, images: Tensor) -> Tensor:
        """The same work without values: as many lookups and second runs as declared, in some order."""
        total = len(images)
        new = total - _count(self.rates.get("duplicates", 0.0), total)
        unsure = _count(self.rates.get("second_usage", 0.0), new)
        if self.batched:
            if self.memory:
                self.keys(images)
            seen = images if new == total else _picked(images, range(new))
            _scored(self.first(seen))
            if self.second is not None and unsure:
                _scored(self.second(seen if unsure == new else _picked(seen, range(unsure))))
        else:
            for i, image in enumerate(images.split(1)):
                if self.memory:
                    self.keys(image)
                if i < new:
                    _scored(self.first(image))
                if self.second is not None and i < unsure:
                    _scored(self.second(image))
        return torch.empty(total, dtype=torch.int64, device="meta")


def _scored(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Label of each row, and the difference of its two largest probabilities."""
    probabilities, classes = logits.softmax(1, dtype=torch.float32).topk(2, dim=1)
    return classes[:, 0], probabilities[:, 0] - probabilities[:, 1]


def _picked(images: Tensor, which: range | list[int]) -> Tensor:
    if images.is_meta:
        return images.index_select(0, torch.empty(len(which), dtype=torch.int64, device="meta"))
    return images.index_select(0, torch.tensor(which, device=images.device))


def _first_of_each(keys: list[int]) -> list[int]:
    return [i for i, key in enumerate(keys) if keys.index(key) == i]


def _count(rate: float, of: int) -> int:
    """The whole number of events nearest to a rate; halves up."""
    return int(rate * of + 0.5)
