"""The tables of operations that CUDA treats in a way of its own, and how it rounds to TF32."""

from typing import Any

import torch
from torch import Tensor

CPU = -1
"""What stands for the CPU among the numbers of cards."""
WAITING = frozenset(
    [
        "_local_scalar_dense",
        "bincount",
        "equal",
        "is_nonzero",
        "masked_select",
        "nonzero",
        "_unique",
        "_unique2",
        "unique_dim",
        "unique_consecutive",
    ]
)
"""Operations whose result decides what the host does next."""
NO_KERNEL = frozenset(
    ["empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh", "_unsafe_view"]
)
MATRIX_PRODUCTS = frozenset(
    ["addbmm", "addmm", "addmm_", "addmv", "baddbmm", "bmm", "dot", "linear", "mm", "mv", "_addmm_activation"]
)
CONVOLUTIONS = frozenset(["convolution", "convolution_overrideable", "convolution_backward"])
NOT_REPEATING = frozenset(
    [
        "_adaptive_avg_pool2d_backward",
        "adaptive_max_pool2d_backward",
        "avg_pool3d_backward",
        "histc",
        "kthvalue",
        "median",
        "max_pool3d_with_indices_backward",
        "reflection_pad1d_backward",
        "upsample_bilinear2d_backward",
        "grid_sampler_2d_backward",
        "nll_loss2d_forward",
        "upsample_nearest2d_backward",
    ]
)
"""Operations without a deterministic kernel on CUDA."""
UPDATING = frozenset(["native_batch_norm", "cudnn_batch_norm"])
"""Operations that change running statistics though their schemas do not say so."""
DETERMINISTIC_OR_ERROR = 2
BY_INDEX = frozenset(["index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"])
"""Operations with a list of indices as their second argument."""


def matrix_products_in_tf32() -> bool:
    """Return whether cuBLAS may round factors to TF32."""
    settings = torch.backends.cuda.matmul
    return settings.fp32_precision == "tf32" if hasattr(settings, "fp32_precision") else settings.allow_tf32


def convolutions_in_tf32() -> bool:
    """Return whether cuDNN may round factors to TF32."""
    conv = getattr(torch.backends.cudnn, "conv", None)
    return torch.backends.cudnn.allow_tf32 if conv is None else conv.fp32_precision == "tf32"


def in_tf32(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Call an operation with the factors of its products rounded to TF32."""
    return func(*(_rounded(x) if isinstance(x, Tensor) else x for x in args), **kwargs)


def _rounded(x: Tensor) -> Tensor:
    """Round float32 to the 10 bits of TF32's mantissa."""
    if x.dtype is not torch.float32:
        return x
    return ((x.view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)
