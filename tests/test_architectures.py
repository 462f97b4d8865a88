"""The page of public networks says what the derivation finds."""

import pytest
from conftest import ROOT

from benchmarks.architectures import NAMES, main, page, row

PAGE = (ROOT / "docs" / "architectures.md").read_text()


def test_every_network_of_the_list_has_its_row_and_at_least_160_are_derived() -> None:
    names = NAMES.read_text().split()
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert [line.split("|")[1].strip() for line in rows] == [
        f"`{model}` ({library})" for library, model in (name.split(":") for name in names)
    ]
    assert len(set(names)) == len(names)
    assert sum("refused: " not in line for line in rows) >= 160
    assert page(rows) == PAGE


@pytest.mark.parametrize(
    "name",
    [
        "timm:test_convnext",
        "timm:lcnet_035",
        "timm:test_byobnet",
        "torchvision:squeezenet1_1",
        pytest.param("timm:densenet121", marks=pytest.mark.slow),
    ],
)
def test_a_row_of_the_page_is_what_is_derived_now(name: str) -> None:
    assert row(name) in PAGE.splitlines()


def test_named_networks_are_printed_and_a_refusal_names_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["architectures", "timm:lcnet_035"])
    monkeypatch.setattr("lmc_mlflow.alignment.derivation.derive.RULES", {})
    assert main() == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith("| `lcnet_035` (timm) |")
    assert "refused: module conv_stem: the operation " in line
    assert "is not understood" in line
