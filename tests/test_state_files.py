"""Weights of networks trained elsewhere are read from files without running anything of them."""

import io
import os
import pickle
import tarfile
import warnings
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lmc_mlflow.models.weight_files.files import read_state


def state(value: float = 1.0) -> dict[str, Tensor]:
    return {"fc.weight": torch.full((2, 3), value), "fc.bias": torch.zeros(2)}


def saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


class Payload:
    """What a planted pickle does as it is loaded: it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt", "w.bin", "w.pth.tar", "W.PT"])
@pytest.mark.parametrize("as_zip", [True, False])
def test_a_state_dict_is_read_in_both_formats_of_pytorch(tmp_path: Path, name: str, as_zip: bool) -> None:
    read = read_state(saved(tmp_path / name, OrderedDict(state()), _use_new_zipfile_serialization=as_zip))
    assert list(read.tensors) == ["fc.weight", "fc.bias"]
    assert torch.equal(read.tensors["fc.weight"], torch.ones(2, 3))
    assert read.notes == ()


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "w.safetensors")
    assert read_state(tmp_path / "w.safetensors").tensors.keys() == {"fc.weight", "fc.bias"}


def test_tensors_are_contiguous_and_have_memory_of_their_own(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    shared = {"a": whole, "b": whole.T, "c": whole[0], "d": nn.Parameter(torch.ones(1).expand(5, 1))}
    read = read_state(saved(tmp_path / "w.pt", shared)).tensors
    assert all(value.is_contiguous() and not value.requires_grad for value in read.values())
    assert all(value.untyped_storage().nbytes() == value.numel() * 4 for value in read.values())
    assert len({value.untyped_storage().data_ptr() for value in read.values()}) == 4
    assert torch.equal(read["b"], whole.T)


WRAPPED = [
    ({"state_dict": state(), "epoch": 3}, "['state_dict']"),
    (
        {"model": {"state_dict": state()}, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
        "['model']['state_dict']",
    ),
    ({"net": {"module": state()}, "model": "resnet18"}, "['net']['module']"),
    ({"my_network": state(), "scaler": {"scale": 2.0}}, "['my_network']"),
    ({"state_dict": state(), "model": state()}, "['state_dict']"),
]


@pytest.mark.parametrize(("content", "place"), WRAPPED, ids=[place for _, place in WRAPPED])
def test_a_state_dict_is_found_in_its_wrappers(tmp_path: Path, content: object, place: str) -> None:
    read = read_state(saved(tmp_path / "w.pt", content))
    assert read.tensors.keys() == {"fc.weight", "fc.bias"}
    assert read.notes == (f"the state dict lies under {place}",)


def beside_each_other() -> dict[str, Any]:
    ema = {f"ema_model.module.{name}": value for name, value in state(2.0).items()}
    raw = {f"model.{name}": value for name, value in state(1.0).items()}
    return {"state_dict": {**raw, **ema, "ema_model.n_averaged": torch.tensor(4)}}


BOTH = [
    {"model": state(1.0), "model_ema": state(2.0)},
    {"state_dict": state(1.0), "state_dict_ema": state(2.0)},
    {"model": {"state_dict": state(1.0)}, "ema": {"shadow": state(2.0), "decay": 0.9}},
    beside_each_other(),
]


@pytest.mark.parametrize("content", BOTH, ids=["model_ema", "state_dict_ema", "shadow", "prefix"])
@pytest.mark.parametrize(("weights", "value", "kind"), [("auto", 1.0, "raw"), ("raw", 1.0, "raw"), ("ema", 2.0, "EMA")])
def test_of_raw_and_averaged_weights_those_asked_for_are_taken_and_it_is_said(
    tmp_path: Path, content: object, weights: str, value: float, kind: str
) -> None:
    read = read_state(saved(tmp_path / "w.pt", content), weights)
    (taken,) = (tensor for name, tensor in read.tensors.items() if name.endswith("fc.weight"))
    assert torch.equal(taken, torch.full((2, 3), value))
    assert any(
        note.startswith(f"both raw and EMA weights are there; the {kind} ones were taken") for note in read.notes
    )


def test_averaged_weights_alone_are_taken_and_it_is_said(tmp_path: Path) -> None:
    read = read_state(saved(tmp_path / "w.pt", {"ema": state(2.0)}))
    assert "the weights are a moving average (EMA)" in read.notes


@pytest.mark.parametrize(
    ("content", "weights", "message"),
    [
        ({"model": state()}, "ema", "raw weights alone; give weights=raw"),
        ({"ema": state()}, "raw", "EMA weights alone; give weights=ema"),
        ({"model": state()}, "emma", "weights 'emma' is unknown .did you mean 'ema'"),
        (
            {"generator": state(1.0), "critic": state(2.0)},
            "auto",
            r"several networks, \['generator'\] and \['critic'\]",
        ),
        ({"model": state(1.0), "net": state(2.0)}, "auto", r"several networks, \['model'\] and \['net'\]"),
        ({}, "auto", r"no state dict \(it is empty\); save network.state_dict"),
        ({"epoch": 3}, "auto", r"no state dict \(there are epoch\)"),
        ([torch.ones(2)], "auto", "holds a list and no state dict"),
        (torch.ones(2), "auto", "holds a Tensor and no state dict"),
        ({"w": torch.eye(3).to_sparse()}, "auto", "w is sparse; save it as a dense tensor"),
        ({"w": torch.empty(3, device="meta")}, "auto", r"w is without numbers \(device meta\)"),
        ({"w": torch.ones(1).expand(10**13)}, "auto", "its tensors take 37,252.9 GiB"),
        ({"w": torch.ones(2, dtype=torch.complex64)}, "auto", "w is complex"),
        ({"state_dict": state(), "args": Namespace(lr=0.1)}, "auto", "argparse.Namespace would have to run"),
        (nn.Linear(2, 2), "auto", "torch.nn.modules.linear.Linear would have to run"),
    ],
)
def test_content_that_is_no_state_dict_is_one_line(tmp_path: Path, content: object, weights: str, message: str) -> None:
    path = saved(tmp_path / "w.pt", content)
    with pytest.raises(ValueError, match=message) as caught:
        read_state(path, weights)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_quantized_and_nested_tensors_are_one_line(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
        paths = [saved(tmp_path / f"{i}.pt", {"w": value}) for i, value in enumerate((quantized, nested))]
    with pytest.raises(ValueError, match="w is quantized; save it as a dense tensor"):
        read_state(paths[0])
    with pytest.raises(ValueError, match="w is a nested tensor; save it as a dense tensor"):
        read_state(paths[1])


def planted(folder: Path, mark: Path) -> list[Path]:
    """Write a payload in every way that a reader of pickles might take."""
    content = {"state_dict": state(), "extra": Payload(mark)}
    plain = folder / "plain.bin"
    plain.write_bytes(pickle.dumps(content, protocol=2))
    first = folder / "first.bin"
    first.write_bytes(pickle.dumps(content, protocol=0))
    new = folder / "new.bin"
    new.write_bytes(pickle.dumps(content, protocol=5))
    return [
        saved(folder / "zip.pt", content),
        saved(folder / "legacy.pth", content, _use_new_zipfile_serialization=False),
        plain,
        first,
        new,
    ]


def test_a_planted_payload_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    files = planted(tmp_path, mark)
    for path in files:
        with pytest.raises(ValueError, match=r"nothing was run|no file of torch.save") as caught:
            read_state(path)
        assert "\n" not in str(caught.value)
        assert not mark.exists(), path
    with files[2].open("rb") as file:
        pickle.load(file)
    assert mark.exists(), "the payload is one"


def test_torchscript_and_tar_archives_are_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(ValueError, match=r"this is a TorchScript archive, which holds code.*state_dict\(\)"):
        read_state(tmp_path / "script.pt")
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    with pytest.raises(ValueError, match=r"this is a tar archive, of PyTorch before 0\.4"):
        read_state(tmp_path / "old.pt")


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_one_line(tmp_path: Path, as_zip: bool, kept: float) -> None:
    buffer = io.BytesIO()
    torch.save(state(), buffer, _use_new_zipfile_serialization=as_zip)
    whole = buffer.getvalue()
    (tmp_path / "w.pt").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ValueError, match=r"it is damaged, or no file of torch\.save.*copy it again"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"\x10\0\0\0\0\0\0\0abc", "it is damaged, or no file of safetensors"),
        ("w.pt", b"", "the file is empty"),
        ("w.pt", b"no weights", "it is damaged, or no file of torch.save"),
        (
            "w.bin",
            b"version https://git-lfs.github.com/spec/v1\noid",
            "pointer of Git LFS and no weights; run `git lfs",
        ),
        ("w.onnx", b"weights", "suffix '.onnx' is unknown; choose from .bin, .ckpt, .pt, .pth, .safetensors, .tar"),
    ],
)
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_state(tmp_path / name)


def test_a_folder_and_a_missing_file_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(ValueError, match="this is a folder; name the file of weights in it"):
        read_state(tmp_path / "folder.pt")
    with pytest.raises(ValueError, match="there is no such file"):
        read_state(tmp_path / "missing.pt")


def test_a_dict_that_contains_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"epoch": 1}
    content["model"] = content
    with pytest.raises(ValueError, match="it holds no state dict"):
        read_state(saved(tmp_path / "w.pt", content))
