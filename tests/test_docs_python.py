"""Every block of the pages for Python users is executed as it is printed."""

import re
import shlex
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from conftest import ROOT
from mlflow import MlflowClient

from entry_points.lmc import main

BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")


@pytest.mark.filterwarnings(
    "ignore:`isinstance.treespec, LeafSpec:FutureWarning",
    "ignore::UserWarning:lightning",
    "ignore:.*AnyType:UserWarning",
)
@pytest.mark.parametrize(
    "page", ["python.md", "bring-your-own.md", "any-two-models.md", "publish.md", "starts.md", "layers.md"]
)
def test_every_block_of_the_page_works(
    page: str, store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("nets", "cnn"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text())
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for language, text in blocks:
        file = FILE.match(text)
        if language == "sh" and "=<run id" in text:
            continue  # commands on a run of the reader's own
        if language == "sh":
            words = shlex.split(text)
            assert words[0] == "lmc"
            assert main(words[1:]) == 0
        elif file:
            (tmp_path / file[1]).write_text(text)
        else:
            exec(compile(text, page, "exec"), names)
    plt.close("all")
    if page == "bring-your-own.md":
        assert "(finished before)" in capsys.readouterr().out
