"""Tells whether networks of other libraries have batch norm."""

from collections.abc import Callable, Mapping

from torch import nn

from lmc_mlflow.models.libraries.foreign_network import without_memory
from lmc_mlflow.models.libraries.timm_networks import timm_has_batch_norm
from lmc_mlflow.models.libraries.torchvision_networks import torchvision_body
from lmc_mlflow.models.libraries.transformers_networks import transformers_body
from lmc_mlflow.normalization.recalibration import batch_norms

_IMAGES = (3, 224, 224)
_NUM_CLASSES = 10


def _of(body: Callable[[str, str, tuple[int, int, int], int], nn.Module]) -> Callable[[str], bool]:
    def has_batch_norm(model: str) -> bool:
        return bool(batch_norms(without_memory(lambda: body(model, "", _IMAGES, _NUM_CLASSES))))

    return has_batch_norm


HAVE_BATCH_NORM: Mapping[str, Callable[[str], bool]] = {
    "timm": timm_has_batch_norm,
    "torchvision": _of(torchvision_body),
    "transformers": _of(transformers_body),
}
"""Library -> what tells whether a network of it has batch norm, as it is by default."""


def library_has_batch_norm(library: str, model: str) -> bool:
    """Tell whether a network has batch norm; True where its library is missing or has no such network.

    The network is built without memory for its weights where its code allows it.
    """
    try:
        return HAVE_BATCH_NORM[library](model)
    except ValueError:
        return True
