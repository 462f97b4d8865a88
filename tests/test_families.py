"""Checks the facts that the table of networks gives for a name against the networks themselves."""

import subprocess
import sys

import pytest
from torch import nn

from lmc_mlflow.models.families import GRAPH_FORM, MODEL_FORMS, NETWORKS, UNKNOWN, Facts, facts_of, has_batch_norm
from lmc_mlflow.models.names import in_natural_order, with_batch_norm, with_widths, without_batch_norm
from lmc_mlflow.models.registry import BUILDERS, NetworkSpec, build_network
from lmc_mlflow.normalization import batch_norms

QUICK = [name for name in NETWORKS if name not in ("vgg19", "patches_dense")]
MLPS = ["mlp_l1_w5", "mlp_l2_w5_4_bn", "mlp_l2_w5_ln_leaky0.1", "mlp_l1_w5_bn_dropout", "linear_l1", "linear_l3_w5"]


def test_every_row_of_the_table_has_a_builder() -> None:
    assert tuple(form for form in BUILDERS if form != GRAPH_FORM) == MODEL_FORMS
    assert GRAPH_FORM in BUILDERS  # of adopted networks, which no name builds


@pytest.mark.parametrize("model", [*QUICK, *MLPS, "timm:resnet10t", "timm:vit_tiny_patch16_224"])
def test_a_name_tells_whether_the_built_network_has_batch_norm(model: str) -> None:
    network = build_network(NetworkSpec(model, 3, 32, 32, 10), seed=0)
    assert has_batch_norm(model) == bool(batch_norms(network))


@pytest.mark.parametrize("model", MLPS)
def test_widths_slope_and_dropout_are_those_of_the_built_network(model: str) -> None:
    network = build_network(NetworkSpec(model, 1, 4, 4, 3), seed=0)
    facts = facts_of(model)
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert facts.widths == tuple(layer.out_features for layer in layers[:-1])
    slopes = {module.negative_slope for module in network.modules() if isinstance(module, nn.LeakyReLU)}
    is_linear = not slopes and not any(isinstance(module, nn.ReLU) for module in network.modules())
    assert facts.slope == (1 if is_linear else next(iter(slopes), 0))
    assert facts.dropout == any(isinstance(module, nn.Dropout) for module in network.modules())


@pytest.mark.parametrize(
    ("model", "batch_norm"),
    [
        ("timm:vit_tiny_patch16_224", False),
        ("timm:convnext_atto", False),
        ("timm:vgg11", False),
        ("timm:vgg11_bn", True),
    ],
)
def test_batch_norm_of_a_timm_network_is_read_from_the_network(model: str, batch_norm: bool) -> None:
    assert has_batch_norm(model) is batch_norm


@pytest.mark.parametrize("model", ["transformer_xl", "timm:no_such_network", "mlp_of_another_version"])
def test_a_network_that_nobody_knows_keeps_its_policies_apart(model: str) -> None:
    assert has_batch_norm(model)


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ("mlp_l3_w8", Facts("MLP", 3, widths=(8, 8, 8), slope=0.0)),
        ("mlp_l2_w8_4_bn_leaky0.1", Facts("MLP", 2, "bn_leaky0.1", "batch", (8, 4), 0.1)),
        ("linear_l4_w16", Facts("linear", 4, widths=(16, 16, 16), slope=1.0)),
        ("linear_l4", Facts("linear", 4, slope=1.0)),
        ("resnet10_s222", Facts("ResNet", 10, "s222", "batch")),
        ("timm:resnet18", Facts("ResNet", 18, norm=None, library="timm")),
        ("timm:resnetv2_50", Facts("ResNet", norm=None, library="timm")),
        ("timm:vit_tiny_patch16_224", Facts("other", norm=None, library="timm")),
        ("mlp_w5", UNKNOWN),
        ("resnet11", UNKNOWN),
    ],
)
def test_the_facts_of_a_name(model: str, facts: Facts) -> None:
    assert facts_of(model) == facts


def test_a_name_is_written_with_other_widths_and_with_or_without_batch_norm() -> None:
    assert with_widths("mlp_l2_w8_leaky0.1", (3, 5)) == "mlp_l2_w3_5_leaky0.1"
    assert with_batch_norm("mlp_l2_w8_4_dropout") == "mlp_l2_w8_4_bn_dropout"
    assert without_batch_norm("mlp_l2_w8_4_bn_dropout") == "mlp_l2_w8_4_dropout"
    assert without_batch_norm("resnet10") == "resnet10"
    with pytest.raises(ValueError, match="'mlp_l1_w8_ln' has a norm already"):
        with_batch_norm("mlp_l1_w8_ln")


def test_names_are_sorted_by_their_numbers() -> None:
    assert in_natural_order(["mlp_l1_w512", "mlp_l1_w64", "mlp_l1_w64"]) == ["mlp_l1_w64", "mlp_l1_w512"]
    assert in_natural_order(["mlp_l1_w4", "linear_l8_w2", "linear_l1"]) == ["linear_l1", "linear_l8_w2", "mlp_l1_w4"]


def test_facts_are_read_without_pytorch() -> None:
    code = "import sys; from lmc_mlflow.models.families import facts_of; facts_of('linear_l1'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "timm", "mlflow"} & set(done.stdout.split())
