"""The table of symmetry rules: one row for each operation of PyTorch that is understood.

The names are PyTorch's own names: `aten::conv2d` without the prefix, and without the underscore of in-place forms.
"""

from collections.abc import Mapping

from lmc_mlflow.alignment.derivation.operation import Rule
from lmc_mlflow.alignment.derivation.rules import compute, positions, shapes
from lmc_mlflow.alignment.derivation.rules.products import einsum
from lmc_mlflow.alignment.derivation.rules.recurrent import NUM_GATES, recurrent

_ENTRY_BY_ENTRY = """
    abs add addcdiv addcmul alpha_dropout clamp clamp_max clamp_min clone contiguous cos detach detach_ div dropout elu
    erf exp expm1 feature_dropout floor gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu lerp log log1p
    log_sigmoid logical_not masked_fill maximum minimum mish mul neg pow reciprocal relu relu6 rsqrt rsub selu sigmoid
    sign silu sin softplus softshrink softsign sqrt square sub tanh tanhshrink threshold to true_divide type_as where
    _to_copy alias lift_fresh lift_fresh_copy bitwise_and bitwise_not bitwise_or bitwise_xor ceil celu copy eq erfc fill
    floor_divide fmod ge gt le logical_and logical_or logical_xor lt ne remainder round trunc zero
""".split()  # noqa: SIM905 (a name a line would be seventy lines)
_NEW = ("arange", "empty", "eye", "linspace")
_ALIKE = (
    "full",
    "full_like",
    "new_full",
    "new_ones",
    "new_zeros",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
    "scalar_tensor",
)
_RESIZING = (
    *("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"),
    *("_upsample_nearest_exact2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
)
WITHOUT_TENSORS = ("_enter_autocast", "_exit_autocast", "_set_grad_enabled")
"""Operations that change no tensor."""

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ENTRY_BY_ENTRY, compute.elementwise),
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "_log_softmax"), compute.elementwise),  # no entry is special
    **dict.fromkeys(_NEW, compute.constant),
    **dict.fromkeys(_ALIKE, compute.alike),
    "linear": compute.linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), compute.convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), compute.transposed_convolution),
    **dict.fromkeys(("batch_norm", "instance_norm"), compute.channel_norm),
    "group_norm": compute.group_norm,
    **dict.fromkeys(("layer_norm", "rms_norm"), compute.layer_norm),
    "prelu": compute.per_channel,
    **dict.fromkeys(("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d"), compute.spatial(1)),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "lp_pool2d"), compute.spatial(2)),
    **dict.fromkeys(("max_pool3d", "avg_pool3d", "adaptive_avg_pool3d"), compute.spatial(3)),
    **dict.fromkeys(_RESIZING, compute.spatial(2)),
    "im2col": positions.columns,
    **{
        f"{name}_pool{dims}{end}": compute.values_and_positions(compute.spatial(int(dims[0])))
        for name, end in (("adaptive_max", ""), ("max", "_with_indices"))
        for dims in ("1d", "2d", "3d")
    },
    **dict.fromkeys(("max", "min"), compute.extreme),
    "glu": compute.halves,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "std", "var", "linalg_vector_norm"), compute.reduce),
    **dict.fromkeys(("matmul", "mm", "bmm", "addmm", "baddbmm"), compute.matrix_product),
    "scaled_dot_product_attention": compute.attention,
    **dict.fromkeys(
        ("flatten", "reshape", "reshape_as", "view", "view_as", "_unsafe_view", "unflatten"), shapes.reshape
    ),
    **dict.fromkeys(("squeeze", "unsqueeze"), shapes.reshape),
    **dict.fromkeys(("permute", "transpose", "swapaxes", "t", "numpy_T"), shapes.permute),
    **dict.fromkeys(("cat", "concat", "concatenate"), shapes.concatenate),
    "stack": shapes.stack,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), shapes.expand),
    **dict.fromkeys(("pad", "constant_pad_nd"), shapes.pad),
    "select": shapes.select,
    **dict.fromkeys(("slice", "narrow"), shapes.slice_axis),
    **dict.fromkeys(("chunk", "split", "split_with_sizes"), shapes.split),
    "unbind": shapes.unbind,
    "roll": shapes.roll,
    "einsum": einsum,
    **{name: recurrent(name) for name in NUM_GATES},
    "index": positions.index,
    "index_select": positions.index_select,
    "embedding": positions.embedding,
    "unfold": positions.windows,
    "col2im": positions.fold,
    **dict.fromkeys(("repeat", "tile"), positions.repeat),
    "repeat_interleave": positions.repeat_entries,
    "flip": positions.flip,
    "cumsum": positions.accumulate,
    **dict.fromkeys(("tril", "triu"), positions.triangle),
    "meshgrid": positions.grid,
}
"""Name of an operation -> the rule that ties the axes of its tensors together."""
