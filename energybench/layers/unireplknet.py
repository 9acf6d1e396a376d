"""UniRepLKNet's block: a large depthwise convolution, channel attention, and two linear layers with a response norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from energybench.layers.dilated_reparam import DilatedReparamBlock2d, folded, merged_reparam, with_filter
from energybench.layers.group_conv import GroupConv2d
from energybench.layers.squeeze_excite import SqueezeExcite2d


class GlobalResponseNorm(nn.Module):
    """Scales every channel by its norm over the pixels relative to the mean of all channels' norms.

    Args:
        channels: C.
        bias: add a learned offset.

    Shapes: N x H x W x C (channels last in memory and in order) to the same; weight C, bias C.
    Source: Woo et al., ConvNeXt V2 (arXiv 2301.00808), section 3.2; without the residual's own term, as UniRepLKNet has
        it: y = (weight n + 1) x + bias, with n the relative norm.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """N x H x W x C to the same."""
        norms = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        scale = self.weight * (norms / (norms.mean(dim=-1, keepdim=True) + 1e-6)) + 1
        return x * scale if self.bias is None else torch.addcmul(self.bias, x, scale)


class UniRepLKNetBlock2d(nn.Module):
    """Depthwise K x K, squeeze and excitation, linear C to 4 C, GELU, global response norm, linear back, plus input.

    Args:
        channels: C.
        kernel_size: K; from 5 on the training form has dilated branches.
        deployed: the form for inference: branches, batch norms, layer scale and the response norm's bias folded into
            their neighbours (:func:`deployed_block` makes it from a trained one). Else the training form.

    Raises:
        ValueError: nobody published branches for this side (training form only).

    Shapes: N x C x H x W to the same.
    Source: Ding et al., UniRepLKNet (arXiv 2311.15599), section 3.2 and figure 2, AILab-CVC/UniRepLKNet at b5677d8.
    """

    def __init__(self, channels: int, kernel_size: int = 13, *, deployed: bool = True) -> None:
        super().__init__()
        hidden = 4 * channels
        self.deployed = deployed
        self.mixer: nn.Module = GroupConv2d(channels, kernel_size, group_size=1, bias=deployed)
        if not deployed and kernel_size > 3:
            self.mixer = DilatedReparamBlock2d(channels, kernel_size)
        self.mixer_norm = nn.Identity() if deployed else nn.BatchNorm2d(channels)
        self.attention = SqueezeExcite2d(channels, channels // 4)
        self.expand = nn.Linear(channels, hidden)
        self.act = nn.GELU()
        self.response = GlobalResponseNorm(hidden, bias=not deployed)
        self.project = nn.Linear(hidden, channels, bias=deployed)
        self.norm = nn.Identity() if deployed else nn.BatchNorm2d(channels)
        self.scale = None if deployed else nn.Parameter(torch.full((channels, 1, 1), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        y = self.attention(self.mixer_norm(self.mixer(x))).permute(0, 2, 3, 1)
        y = self.project(self.response(self.act(self.expand(y)))).permute(0, 3, 1, 2)
        y = self.norm(y)
        out: Tensor = x + (y if self.scale is None else self.scale * y)
        return out


@torch.no_grad()
def deployed_block(block: UniRepLKNetBlock2d) -> UniRepLKNetBlock2d:
    """The inference form that a training form in evaluation equals.

    Raises:
        ValueError: the block is already deployed.
    """
    norm, scale, response_bias = block.norm, block.scale, block.response.bias
    if not isinstance(norm, nn.BatchNorm2d) or scale is None or response_bias is None:
        raise ValueError("the block is already deployed")
    weight, bias = _mixer_filter(block)
    made = UniRepLKNetBlock2d(weight.shape[0], weight.shape[-1]).to(weight)
    made.mixer = with_filter(weight, bias)
    made.attention.load_state_dict(block.attention.state_dict())
    made.expand.load_state_dict(block.expand.state_dict())
    made.response.weight.copy_(block.response.weight)
    # The linear layer as a 1x1 convolution takes the batch norm; the response norm's offset passes through it.
    pointwise = nn.Conv2d(block.project.in_features, block.project.out_features, 1, bias=False).to(weight)
    pointwise.weight.copy_(block.project.weight[:, :, None, None])
    projected, offset = folded(pointwise, norm)
    made.project.weight.copy_(projected.flatten(1) * scale.flatten()[:, None])
    made.project.bias.copy_((offset + projected.flatten(1) @ response_bias) * scale.flatten())
    return made.train(block.training)


def _mixer_filter(block: UniRepLKNetBlock2d) -> tuple[Tensor, Tensor]:
    mixer, norm = block.mixer, block.mixer_norm
    conv = merged_reparam(mixer) if isinstance(mixer, DilatedReparamBlock2d) else mixer
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise ValueError("the block is already deployed")
    return folded(conv, norm)
