"""The papers' numbers are here as they are printed."""

from importlib.resources import files

import pytest

from lmc_mlflow.findings.families import architecture, family_of
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.papers.hepburn.parameter_table import table_v
from lmc_mlflow.papers.printed import CELL, FILES, PATH_TABLES, all_cells, cells, printed_table


@pytest.mark.parametrize(
    ("table", "rows"), [("table_iii", 24), ("table_v", 12), ("table_vi", 30), ("table_vii", 20), ("table_viii", 16)]
)
def test_every_row_is_there(table: str, rows: int) -> None:
    assert len(printed_table(table)) == rows


@pytest.mark.parametrize("table", FILES)
def test_every_table_says_where_it_is_printed(table: str) -> None:
    first_line = files("lmc_mlflow.papers").joinpath("printed", FILES[table]).read_text().splitlines()[0]
    assert first_line.startswith("# ")
    assert any(author in first_line for author in ("Hepburn", "Altintas", "slides", "Starlight"))


def test_a_cell_has_the_printed_numbers() -> None:
    frame = cells("table_viii").set_index(["model", "batch_size", "normalization"])
    row = frame.loc[("mlp_l1_w126", 1024, "unit")]
    assert (row["barrier"], row["barrier_sd"], row["delta"], row["delta_sd"]) == (0.74, 0.43, -15.69, 6.63)
    assert ("mlp_l1_w126_bn", 32, "unit") in frame.index
    assert ("resnet10", 1024, "centered") in frame.index


@pytest.mark.parametrize("table", ["table_vi", "table_viii"])
def test_bold_print_is_a_delta_below_minus_six(table: str) -> None:
    frame = cells(table)
    assert frame["bold"].tolist() == (frame["delta"] < -6).tolist()
    assert frame["bold"].nunique() == 2


def test_table_vii_breaks_that_rule_in_four_cells() -> None:
    frame = cells("table_vii")
    odd = frame[frame["bold"] != frame["lost"]]
    assert sorted(odd["delta"]) == [-63.68, -54.07, -28.32, -9.7]
    assert not odd["bold"].any()


def test_a_cell_printed_twice_has_the_same_numbers_twice() -> None:
    for table in PATH_TABLES:
        both = all_cells().merge(cells(table), on=CELL)
        assert len(both) == len(cells(table))
        for name in ("barrier", "barrier_sd", "delta", "delta_sd"):
            assert both[f"{name}_x"].tolist() == both[f"{name}_y"].tolist()


def test_all_parameter_counts_are_the_printed_ones() -> None:
    frame = table_v()
    assert frame["parameters"].tolist() == frame["paper_parameters"].tolist()
    assert set(frame["mark"]) == {"agrees"}


def test_an_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"printed table 'table_ix' is unknown .*table_viii"):
        printed_table("table_ix")


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("mlp_l3_w256_512_256_bn", ("MLP", 3, "bn")),
        ("mlp_l1_w126", ("MLP", 1, "")),
        ("mlp_l1_w16_bn_dropout", ("MLP", 1, "bn_dropout")),
        ("resnet22", ("ResNet", 22, "")),
        ("resnet10_s222", ("ResNet", 10, "s222")),
        ("timm:resnet18", ("ResNet", 18, "")),
        ("vgg19", ("VGG", 19, "")),
        ("vgg_like", ("vgg_like", 0, "")),
    ],
)
def test_family_and_depth_are_told_by_the_name(model: str, found: tuple[str, int, str]) -> None:
    assert architecture(model) == found


@pytest.mark.parametrize(
    ("model", "family"),
    [("mlp_l3_w8_8_8_bn", "MLP"), ("resnet22", "ResNet"), ("timm:resnet18", "ResNet"), ("vgg_like", "VGG")],
)
def test_the_family_is_told_by_the_name(model: str, family: str) -> None:
    assert family_of(model) == family
    assert family_of("timm:vit_tiny_patch16_224") == "other"


def test_networks_without_batch_norm_are_the_plain_mlps() -> None:
    models = set(all_cells()["model"])
    assert {model for model in models if not has_batch_norm(model)} == {
        "mlp_l1_w587",
        "mlp_l3_w256_512_256",
        "mlp_l1_w126",
        "mlp_l3_w110_256_110",
    }


def test_the_anchors_of_training_are_printed_for_two_scalings() -> None:
    frame = printed_table("app_g").set_index("normalization")
    assert frame["train_accuracy_pct"].to_dict() == {"centered": 98, "unit": 60}


def test_table_4_is_read_in_two_ways_that_hold_the_same_values() -> None:
    frame = printed_table("altintas_table_4")
    in_print = [98.32, 98.34, 98.41, 98.19, 98.41, 97.14]
    assert frame["accuracy_pct"].tolist() == in_print  # depth by depth, the high rate first
    by_rate = frame.sort_values(["lr", "layers"], ascending=[False, True])
    assert by_rate["accuracy_pct_by_rate"].tolist() == in_print
