"""Reads which network lies in a folder that was saved for the Hugging Face hub, by timm or by transformers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lmc_mlflow.errors import shortened
from lmc_mlflow.models.libraries.transformers_networks import fields_of

CONFIG = "config.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the file of weights; the first that is there is taken."""
SHARDS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
CODE = "auto_map"
"""The field of a configuration that names code of the folder, which is never run."""
_ABOUT_FILES = frozenset(
    [
        *("_name_or_path", "architectures", "dtype", "id2label", "label2id", "model_type", "num_channels"),
        *("num_labels", "problem_type", "torch_dtype", "transformers_version", "torchscript", "use_cache"),
    ]
)
"""Fields of a configuration of transformers that say nothing about the architecture, or that the data decide."""


class HubFolder(NamedTuple):
    """A network in a folder.

    Attributes:
        model: its name here, as in `timm:resnet18`.
        model_options: further arguments of the network, as JSON; empty: none.
        weights: the file of weights.
    """

    model: str
    model_options: str
    weights: Path


def read_hub_folder(folder: Path) -> HubFolder:
    """Read the name and the options of a network from the `config.json` of a folder, and find its weights.

    Args:
        folder: as `save_pretrained` of transformers or `save_for_hf` of timm writes it, or as it was downloaded.

    Raises:
        ValueError: no such folder or file, another layout, a network that needs code of the folder, or weights in
            several files; of transformers: it is not installed, or has no such class.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    config = _read_config(folder / CONFIG)
    if isinstance(config.get("architecture"), str):
        model, options = _of_timm(config)
    elif config.get("architectures"):
        model, options = _of_transformers(config, folder)
    else:
        raise ValueError(
            f"{folder / CONFIG}: neither the field architecture of timm nor architectures of transformers is there; "
            "name the file of weights and give model="
        )
    return HubFolder(model, json.dumps(options, sort_keys=True) if options else "", _weights_in(folder))


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file; name the file of weights and give model=") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: it cannot be read as JSON ({shortened(str(error))})") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: it holds a {type(config).__name__}, not the fields of a network")
    return config


def _of_timm(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name a network of timm; a tag of pretrained weights is left out, because the weights are in the folder."""
    options = dict(config.get("model_args") or {})
    for name in ("num_classes", "in_chans", "pretrained"):
        options.pop(name, None)
    return f"timm:{config['architecture'].partition('.')[0]}", options


def _of_transformers(config: Mapping[str, Any], folder: Path) -> tuple[str, dict[str, Any]]:
    names = config["architectures"]
    if CODE in config:
        raise ValueError(f"{folder / CONFIG}: {CODE} names code of the folder, which is not run; give model=")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise ValueError(
            f"{folder / CONFIG}: architectures={shortened(str(names))}: exactly one is needed; give model="
        )
    model = f"transformers:{names[0]}"
    kept = fields_of(model) - _ABOUT_FILES  # what the installed version does not know changes nothing
    return model, {name: value for name, value in config.items() if name in kept}


def _weights_in(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    if any((folder / name).is_file() for name in SHARDS):
        raise ValueError(f"{folder}: its weights lie in several files; save them as one, {WEIGHT_FILES[0]}")
    raise ValueError(f"{folder}: there is neither {' nor '.join(WEIGHT_FILES)}; download the weights too")
