"""A script of somebody who does not know this project: trains small networks with batch norm, and logs them by MLflow.

`python foreign_process.py <folder>`: the folder holds digits.npz; the script writes models.json and state dicts there.
"""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Two convolutions with batch norm, dropout, and a linear layer; gives logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.bn2 = nn.BatchNorm2d(16)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(16 * 49, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(self.drop(x.flatten(1)))  # type: ignore[no-any-return]


class Payload(nn.Module):
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def train(seed: int, images: Tensor, labels: Tensor) -> Net:
    """Train for two epochs."""
    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(2):
        for rows in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
            optimizer.step()
    return net


def main(folder: Path) -> None:
    """Train, log in several ways, and write down what is where."""
    torch.set_num_threads(1)
    digits = np.load(folder / "digits.npz")
    images, labels = torch.from_numpy(digits["images"]), torch.from_numpy(digits["labels"])
    example = digits["images"][:4]
    told: dict[str, Any] = {"models": [], "runs": [], "as_trained": []}
    mlflow.set_experiment("foreign")
    for seed in (1, 2):
        net = train(seed, images, labels)
        with mlflow.start_run() as run:
            net.train()  # to infer the signature, MLflow runs the network in this mode, which moves its statistics
            info = mlflow.pytorch.log_model(net, name="as_trained", input_example=example, pip_requirements=[])
            told["as_trained"].append(info.model_id)
            torch.save(net.state_dict(), folder / f"net{seed}.pt")
            info = mlflow.pytorch.log_model(
                net.eval(), name="model", input_example=example, registered_model_name="digits_net", pip_requirements=[]
            )
            told["models"].append(info.model_id)
            told["runs"].append(run.info.run_id)
    mlflow.MlflowClient().set_registered_model_alias("digits_net", "best", "2")
    with mlflow.start_run() as run:
        model = mlflow.pytorch.log_model(
            train(3, images[:64], labels[:64]), name="pickled", serialization_format="pickle", pip_requirements=[]
        )
        told["pickled"] = model.model_id
        place = Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}"))
    (weights,) = place.rglob("model.pth")
    with weights.open("wb") as file:
        pickle.dump(Payload(folder / "executed"), file)
    with (folder / "planted.pt").open("wb") as file:
        torch.save({"state_dict": Payload(folder / "executed")}, file)
    one_batch = mlflow.start_run()
    info = mlflow.pytorch.log_model(net.eval(), name="static", input_example=example[:1], pip_requirements=[])
    told["static"], told["unfinished"] = info.model_id, one_batch.info.run_id
    (folder / "models.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
