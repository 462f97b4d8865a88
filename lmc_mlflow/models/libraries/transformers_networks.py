"""Builds image classifiers of Hugging Face's transformers, and gives tensors of its files the names of its modules."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.errors import first_line
from lmc_mlflow.models.libraries.foreign_network import ForeignNetwork, without_memory
from lmc_mlflow.models.libraries.model_options import read_options

FIXED = {
    "num_labels": "the data decide it",
    "id2label": "the data decide it",
    "label2id": "the data decide it",
    "num_channels": "the data decide it",
    "problem_type": "the data decide it",
    "auto_map": "code of a repository is never run",
    "quantization_config": "weights are float32",
    "dtype": "weights are float32",
    "torch_dtype": "weights are float32",
}
"""Fields of a configuration that `model_options` may not give, and why."""


def check_transformers(model: str) -> Any:
    """Return the class of an image classifier `transformers:<class>`.

    Raises:
        ValueError: transformers is not installed or has no such classifier; the message gives what to do.
    """
    try:
        import transformers
        from transformers.models.auto import modeling_auto
    except ImportError:
        raise ValueError(f"model {model!r} needs transformers; pip install transformers") from None
    name = model.removeprefix("transformers:")
    rows = (
        (row,) if isinstance(row, str) else row
        for row in modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.values()
    )
    there = sorted(set(itertools.chain.from_iterable(rows)))
    if name not in there:
        raise unknown_name("model transformers:<class>: class", name, there)
    return getattr(transformers, name)


def fields_of(model: str) -> frozenset[str]:
    """Return the names of the fields that the configuration of an image classifier has.

    Raises:
        ValueError: transformers is not installed or has no such classifier.
    """
    config = check_transformers(model).config_class
    return frozenset(config().to_dict()) | frozenset(config.attribute_map)


def transformers_body(model: str, options: str, image_shape: tuple[int, int, int], num_classes: int) -> Any:
    """Build an untrained image classifier of transformers, as transformers returns it.

    Args:
        model: `transformers:<class>`.
        options: fields of its configuration, as JSON; empty: the defaults of the class.
        image_shape: channels, height and width.
        num_classes: of the output.

    Raises:
        ValueError: transformers is missing, has no such class, or cannot build it so.
    """
    kind = check_transformers(model)
    channels, height, width = image_shape
    known = fields_of(model)
    fields = read_options(model, options, FIXED, known)
    if "image_size" in known:
        fields.setdefault("image_size", height if height == width else (height, width))
    try:
        body = kind(kind.config_class(**{"num_channels": channels, "num_labels": num_classes, **fields}))
    except NotImplementedError:  # see `without_memory`
        raise
    except Exception as error:  # noqa: BLE001 (each architecture checks its configuration in its own way)
        raise ValueError(
            f"model {model!r} cannot be built ({first_line(error)}); change model_options or the image size"
        ) from None
    return body


def transformers_network(
    model: str, options: str, image_shape: tuple[int, int, int], num_classes: int, output: nn.Module
) -> ForeignNetwork:
    """Build an untrained image classifier of transformers with the output module at its end.

    Arguments and errors as in `transformers_body`.

    Args:
        model: `transformers:<class>`.
        options: fields of its configuration, as JSON; empty: the defaults of the class.
        image_shape: channels, height and width.
        num_classes: of the output.
        output: module that ends the network.
    """
    return ForeignNetwork(transformers_body(model, options, image_shape, num_classes), output)


def names_of_modules(model: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors the names that the modules of the installed transformers have; files keep those of version 4.

    Args:
        model: `transformers:<class>`.
        state: name -> tensor, of a file.

    Raises:
        ValueError: transformers is missing or has no such class.
    """
    kind = check_transformers(model)
    renamings = list(_renamings(without_memory(lambda: kind(kind.config_class()))))
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        now = name
        for renaming in renamings:
            now = renaming.rename_source_key(now)[0]
        renamed[now] = value
    return renamed if len(renamed) == len(state) else dict(state)


def _renamings(network: nn.Module) -> Iterator[Any]:
    """Yield what transformers does to names of files as it loads them; nothing before version 5, which does nothing."""
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming
    except ImportError:
        return
    for conversion in get_model_conversion_mapping(network):
        if isinstance(conversion, WeightRenaming):
            yield conversion
