"""What may a suite file name without anyone's permission? Torch is not imported to answer.

A new layer or network is added here by one line; a test checks that the entry resolves and that nothing is missing.
"""

from __future__ import annotations

from collections.abc import Mapping

LAYERS: Mapping[str, str] = {
    "BlockFusedConvFirst2d": "energybench.layers.block_fusion",
    "BlockFusedMBConv2d": "energybench.layers.block_fusion",
    "BlocksInSitu2d": "energybench.layers.blocks_in_situ",
    "BottleneckPair2d": "energybench.layers.mixture_of_depths",
    "CompactChannelAttention2d": "energybench.layers.dico",
    "ConvFirst2d": "energybench.layers.residual_blocks",
    "ConvNeXtBlock2d": "energybench.layers.residual_blocks",
    "DiCoBlock2d": "energybench.layers.dico",
    "DiCoConv2d": "energybench.layers.dico",
    "DiTBlock": "energybench.layers.dit",
    "DiTBlock2d": "energybench.layers.dit",
    "DilatedReparamBlock2d": "energybench.layers.dilated_reparam",
    "Float8PointwiseConv2d": "energybench.layers.float8",
    "FormatConv2d": "energybench.layers.format_conv",
    "FusedMBConv2d": "energybench.layers.residual_blocks",
    "GroupConv2d": "energybench.layers.group_conv",
    "InceptionDWConv2d": "energybench.layers.inception_dw",
    "Int8Conv2d": "energybench.layers.quantized",
    "LSConv2d": "energybench.layers.ls_conv",
    "LargeKernelPerception2d": "energybench.layers.ls_conv",
    "LayerNorm2d": "energybench.layers.layer_norm",
    "MBConv2d": "energybench.layers.residual_blocks",
    "MLPBlock2d": "energybench.layers.residual_blocks",
    "MoDBlock2d": "energybench.layers.mixture_of_depths",
    "MetaNeXtBlock2d": "energybench.layers.inception_dw",
    "NarrowPointwiseConv2d": "energybench.layers.sparse_pointwise",
    "PfBottleneck": "energybench.layers.bottleneck",
    "SemiStructuredPointwiseConv2d": "energybench.layers.semi_structured",
    "SparsePointwiseConv2d": "energybench.layers.sparse_pointwise",
    "SqueezeExcite2d": "energybench.layers.squeeze_excite",
    "TernaryPointwiseConv2d": "energybench.layers.ternary",
    "UniRepLKNetBlock2d": "energybench.layers.unireplknet",
    "WeightOnlyPointwiseConv2d": "energybench.layers.quantized",
}
"""Our layers: class name to module."""

NETWORKS: Mapping[str, str] = {
    "CifarMobileNetV2": "energybench.networks.cifar",
    "CifarResNet": "energybench.networks.cifar",
    "ConvNeXt": "energybench.networks.convnext",
    "DualCNN": "energybench.networks.dual_cnn",
    "DiCo": "energybench.networks.dico",
    "DiT": "energybench.networks.dit",
    "InceptionNeXt": "energybench.networks.inception_next",
    "LSNet": "energybench.networks.lsnet",
    "MixedResNet50": "energybench.networks.mixed_resnet",
    "MobileNetV1": "energybench.networks.mobilenet_v1",
    "MobileNetV2": "energybench.networks.mobilenet_v2",
    "ResNeXt50": "energybench.networks.resnext",
    "ResNet50": "energybench.networks.resnet",
    "ResNetMoD": "energybench.networks.resnet_mod",
    "UniRepLKNet": "energybench.networks.unireplknet",
}
"""Our networks: class name to module."""

TORCH_NN = frozenset(
    """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d
    AvgPool1d AvgPool2d AvgPool3d BatchNorm1d BatchNorm2d BatchNorm3d ChannelShuffle CircularPad2d
    ConstantPad2d Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Dropout Dropout2d ELU Embedding
    Flatten Fold GELU GLU GRU GroupNorm Hardsigmoid Hardswish Hardtanh Identity InstanceNorm1d InstanceNorm2d
    InstanceNorm3d LPPool2d LSTM LayerNorm LeakyReLU Linear LocalResponseNorm LogSoftmax MaxPool1d MaxPool2d MaxPool3d
    Mish MultiheadAttention PReLU PixelShuffle PixelUnshuffle RMSNorm RNN ReLU ReLU6 ReflectionPad2d ReplicationPad2d
    SELU SiLU Sigmoid Softmax Softmax2d Softplus Softsign Tanh TransformerDecoderLayer TransformerEncoderLayer Unfold
    Upsample ZeroPad2d
    """.split()  # noqa: SIM905 - a list literal would be ninety lines of quotes
)
"""Classes of ``torch.nn`` that take plain values only and run by shape."""


def is_network(layer: str) -> bool:
    """Whether a layer name, as written in a suite, is one of our whole networks."""
    return layer in NETWORKS


def is_foreign(layer: str) -> bool:
    """Whether a layer name stands for a class that is neither ours nor torch's: one of a plugin."""
    return ":" in layer and not layer.startswith("torch.nn:")
