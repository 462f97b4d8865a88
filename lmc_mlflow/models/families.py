"""The table of networks: the facts that hold for a network of a given name; needs no PyTorch.

This is the only place that reads a fact out of a name. `registry.py` has the builders of the same rows.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.models.names import (
    LINEAR_FORM,
    LINEAR_NAME,
    MLP_FORM,
    MLP_NAME,
    RESNET_FORMS,
    RESNET_NAME,
    TABLE_V_MLPS,
    parse_linear,
    parse_mlp,
    parse_resnet,
    widths_of,
)
from lmc_mlflow.own_code import FORM, GRAPH, is_own, plugins, source_file


@dataclass(frozen=True)
class Facts:
    """What is known of a network without building it.

    Attributes:
        family: MLP, linear, ResNet, VGG, DenseNet, patches, or other.
        depth: the number of layers as the family counts them (hidden ones in an MLP, all in a linear network, else
            those in the name); 0: not counted.
        variant: what sets networks of one family and depth apart, besides an MLP's widths, as in `bn_dropout`.
        norm: batch, layer, or nothing; None: only the network itself tells.
        widths: of the hidden layers of an MLP or a linear network.
        slope: negative slope of the activation of an MLP (0: ReLU) or a linear network (1); None: of other networks.
        dropout: whether an MLP drops units.
        library: that the network comes from; empty: this package.
    """

    family: str
    depth: int = 0
    variant: str = ""
    norm: str | None = ""
    widths: tuple[int, ...] = ()
    slope: float | None = None
    dropout: bool = False
    library: str = ""

    @property
    def widths_text(self) -> str:
        """The hidden widths as in a name: one where all are equal, as 128, or all of them, as 256_512_256."""
        equal = len(set(self.widths)) == 1
        return "_".join(map(str, self.widths[:1] if equal else self.widths))


@dataclass(frozen=True)
class Form:
    """A row for names that carry numbers or the name of another library.

    Attributes:
        beginning: of every name of this form; empty: names of users' own functions.
        facts: name -> facts; `UNKNOWN` where the rest of the name does not fit.
        check: raises a ValueError where the name is no network's.
    """

    beginning: str
    facts: Callable[[str], Facts]
    check: Callable[[str], object]


def _check_own(model: str) -> None:
    source_file("model", model)


UNKNOWN = Facts("other", norm=None)
NETWORKS: Mapping[str, Facts] = {
    "resnet10": Facts("ResNet", 10, norm="batch"),
    "resnet22": Facts("ResNet", 22, norm="batch"),
    "resnet10_s222": Facts("ResNet", 10, "s222", norm="batch"),
    "resnet22_s222": Facts("ResNet", 22, "s222", norm="batch"),
    "vgg11": Facts("VGG", 11, norm="batch"),
    "vgg19": Facts("VGG", 19, norm="batch"),
    "vgg_like": Facts("VGG", norm="batch"),
    "densenet40_k12": Facts("DenseNet", 40, "k12", norm="batch"),
    "patches_dense": Facts("patches"),
    "patches_local": Facts("patches"),
    "patches_conv": Facts("patches"),
    "patches_attention": Facts("patches"),
    "patches_attention_qkv2": Facts("patches"),
}
_NORMS = {None: "", "_bn": "batch", "_ln": "layer"}
_NUMBERED = re.compile(r"(?:resnet|vgg)(\d+)(?:_(\w+))?")
_LIBRARY_FAMILIES = {"resnet": "ResNet", "vgg": "VGG", "ResNetFor": "ResNet"}
"""Beginning of a library's name of a network -> family."""


def _mlp_facts(model: str) -> Facts:
    found = MLP_NAME.fullmatch(model)
    if not found:
        return UNKNOWN
    variant = model[found.end("widths") :].strip("_")
    return Facts(
        "MLP",
        depth=int(found["layers"]),
        variant=variant,
        norm=_NORMS[found["norm"]],
        widths=widths_of(found),
        slope=float(found["slope"] or 0),
        dropout=bool(found["dropout"]),
    )


def _linear_facts(model: str) -> Facts:
    found = LINEAR_NAME.fullmatch(model)
    if not found:
        return UNKNOWN
    layers = int(found["layers"])
    # The tables of Altintas et al. name deep linear networks without a width, which is unknown then.
    return Facts("linear", layers, widths=(int(found["width"]),) * (layers - 1) if found["width"] else (), slope=1.0)


def _resnet_facts(model: str) -> Facts:
    found = RESNET_NAME.fullmatch(model)
    if not found:
        return UNKNOWN
    return Facts("ResNet", int(found["depth"]), model[found.start("width") - 1 :], norm="batch")


def _library_facts(model: str) -> Facts:
    library, _, name = model.partition(":")
    family = next((family for beginning, family in _LIBRARY_FAMILIES.items() if name.startswith(beginning)), "other")
    found = _NUMBERED.fullmatch(name)
    depth, variant = (int(found[1]), found[2] or "") if found else (0, "")
    return Facts(family, depth, variant, norm=None, library=library)


def _check_timm(model: str) -> None:
    from lmc_mlflow.models.libraries.timm_networks import (  # load timm, which no other row needs
        check_timm,
        refuse_pretrained,
    )

    refuse_pretrained(model)
    check_timm(model)


def _check_torchvision(model: str) -> None:
    from lmc_mlflow.models.libraries.torchvision_networks import check_torchvision  # as in `_check_timm`

    check_torchvision(model)


def _check_transformers(model: str) -> None:
    from lmc_mlflow.models.libraries.transformers_networks import check_transformers  # as in `_check_timm`

    check_transformers(model)


def _refuse_graph(model: str) -> None:
    raise ValueError(
        f"model {model!r} is the graph of an adopted network, which no name builds again; give its run, or its "
        "weights as a file with model=<module>:<function>"
    )


TIMM_FORM = "timm:<name>"
TORCHVISION_FORM = "torchvision:<name>"
TRANSFORMERS_FORM = "transformers:<class>"
GRAPH_FORM = f"{GRAPH}<digest>"
FORMS: Mapping[str, Form] = {
    MLP_FORM: Form("mlp_", _mlp_facts, parse_mlp),
    LINEAR_FORM: Form("linear_", _linear_facts, parse_linear),
    **{form: Form(form[: form.index("w<")], _resnet_facts, parse_resnet) for form in RESNET_FORMS},
    TIMM_FORM: Form("timm:", _library_facts, _check_timm),
    TORCHVISION_FORM: Form("torchvision:", _library_facts, _check_torchvision),
    TRANSFORMERS_FORM: Form("transformers:", _library_facts, _check_transformers),
    GRAPH_FORM: Form(GRAPH, lambda _: UNKNOWN, _refuse_graph),
    FORM: Form("", lambda _: UNKNOWN, _check_own),
}
_OF_LIBRARIES = (TIMM_FORM, TORCHVISION_FORM, TRANSFORMERS_FORM)
MODEL_FORMS = (MLP_FORM, LINEAR_FORM, *RESNET_FORMS, *NETWORKS, *_OF_LIBRARIES, FORM)
"""The keys of all rows that a name builds, as help and errors list them."""


def form_of(model: str) -> str:
    """Return the key of a network's row: its name or, where names carry numbers, their form.

    Raises:
        ValueError: no row fits; the message lists the rows there are.
    """
    found = _row_key(model)
    if found is None:
        raise unknown_name("model", model, [*MODEL_FORMS, *TABLE_V_MLPS, *plugins("model")])
    return found


def check_model(model: str) -> None:
    """Check that a name is a network's, before any images are there to build it for.

    Raises:
        ValueError: it is not.
    """
    key = form_of(model)
    if key in FORMS:
        FORMS[key].check(model)


def facts_of(model: str) -> Facts:
    """Return the facts of a network; `UNKNOWN` for a name that fits no row, as another version may have logged."""
    key = _row_key(model)
    if key is None:
        return UNKNOWN
    return FORMS[key].facts(model) if key in FORMS else NETWORKS[key]


@functools.cache
def has_batch_norm(model: str) -> bool:
    """Tell whether a network has batch norm, and so other paths under other policies of its running statistics.

    Whether a network of a library has any is read from the network itself, built without memory for its weights. A
    name that no library here knows counts as one with batch norm, so that its paths under several policies stay apart.
    """
    facts = facts_of(model)
    if facts.norm is not None:
        return facts.norm == "batch"
    if not facts.library:
        return True
    from lmc_mlflow.models.libraries.library_networks import library_has_batch_norm  # as in `_check_timm`

    return library_has_batch_norm(facts.library, model)


def _row_key(model: str) -> str | None:
    if model in NETWORKS:
        return model
    named = next((form for form, row in FORMS.items() if row.beginning and model.startswith(row.beginning)), None)
    if is_own("model", model) and (named is None or ":" in model):
        return FORM
    return named
