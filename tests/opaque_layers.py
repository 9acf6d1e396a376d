"""A plugin whose kernel PyTorch cannot see through: rows of the input, picked and weighted by packed weights."""

import torch
from torch import Tensor, nn

from energybench.cost import OperatorCost
from energybench.cost.kernels import kernel_cost, operand
from energybench.errors import UnsupportedError


@torch.library.custom_op("energybench_tests::picked", mutates_args=())
def picked(x: Tensor, kept: Tensor, weights: Tensor) -> Tensor:
    return x.index_select(1, kept) @ weights


@picked.register_fake
def _(x: Tensor, kept: Tensor, weights: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weights.shape[1])


@kernel_cost("energybench_tests::picked")
def _cost(arguments, outputs):
    x, _, weights = arguments
    read = sum(operand(tensor).bytes for tensor in arguments)
    macs = x.shape[0] * weights.shape[0] * weights.shape[1]
    return (OperatorCost("picked", "sparse", macs, read, operand(outputs[0]).bytes, dtype="float32"),)


class Picked(nn.Module):
    """Uses half of its input features; ``pattern`` says which, ``needs`` a device it refuses to do without."""

    def __init__(self, features: int, pattern: str = "first", needs: str = "") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features, features))
        self.value_pattern, self.stored_weights, self._needs = pattern, 0, needs

    def pack_weights(self) -> None:
        if self._needs and self.weight.device.type not in (self._needs, "meta"):
            raise UnsupportedError(f"this layer needs a {self._needs} device")
        half = self.weight.shape[0] // 2
        kept = torch.arange(half, device=self.weight.device)
        self.register_buffer("kept", kept if self.value_pattern == "first" else kept + half)
        self.register_buffer("weights", self.weight.detach()[:half].clone())
        self.stored_weights = half * self.weight.shape[1]
        del self.weight

    def encode_input(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.weights.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        return picked(x, self.kept, self.weights)
