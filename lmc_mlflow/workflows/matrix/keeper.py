"""How do measured pairs of a matrix outlive its process? They are kept with its run, once a minute."""

import time
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmc_mlflow.paths.walk import Path
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.progress import SAVE_SECONDS, Slots
from lmc_mlflow.workflows.matrix.pairs import Walked

_CURVES = ("alphas", "angles_deg", "manhattan")
_LENGTHS = ("distance", "distance_unaligned", "angle_deg", "angle_deg_unaligned")
_UNSETTLED = "num_unsettled"


class PairsKeeper:
    """Keeps the pairs that were measured so far with the run, once a minute and when asked to.

    Attributes:
        walked: members i, j -> what was measured between them.
        num_unsettled: matchings among them that had not settled.
    """

    def __init__(self, run: TrackedRun) -> None:
        """Start with nothing.

        Args:
            run: of kind `matrix`.
        """
        self.walked: dict[tuple[int, int], Walked] = {}
        self.num_unsettled = 0
        self._slots = Slots(run)
        self._num_saved = 0
        self._saved_at = time.monotonic()

    def restore(self) -> None:
        """Take over what the newest whole slot holds."""
        tensors = self._slots.read(load_file)
        if tensors is None:
            return
        self.num_unsettled = int(tensors.pop(_UNSETTLED))
        for key in {name.split("/")[0] for name in tensors}:
            walked = _unpacked(key, tensors)
            self.walked[walked.i, walked.j] = walked
        self._num_saved = len(self.walked)

    def remember(self, walked: Walked, num_unsettled: int) -> None:
        """Add a pair, and keep all when it is time."""
        self.walked[walked.i, walked.j] = walked
        self.num_unsettled = num_unsettled
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Keep all pairs, unless they are kept already."""
        if len(self.walked) == self._num_saved:
            return
        tensors: dict[str, Tensor] = {_UNSETTLED: torch.tensor(self.num_unsettled)}
        for walked in self.walked.values():
            tensors |= _packed(walked)
        self._slots.write(partial(save_file, tensors), len(self.walked))
        self._num_saved = len(self.walked)
        self._saved_at = time.monotonic()


def _packed(walked: Walked) -> dict[str, Tensor]:
    """A pair as float64 tensors below `<i>-<j>-<engine>-<score>/`."""
    path = walked.path
    key = f"{walked.i}-{walked.j}-{path.engine}-{path.score}"
    found = {name: torch.from_numpy(np.array(getattr(path, name), dtype=np.float64)) for name in _CURVES}
    for split, measured in path.values.items():
        found |= {f"{name}/{split}": torch.from_numpy(np.array(v, dtype=np.float64)) for name, v in measured.items()}
    found["lengths"] = torch.tensor([getattr(walked, name) for name in _LENGTHS], dtype=torch.float64)
    if path.variance_ratio is not None:
        found["variance_ratio"] = torch.tensor(path.variance_ratio, dtype=torch.float64)
    return {f"{key}/{name}": value for name, value in found.items()}


def _unpacked(key: str, tensors: Mapping[str, Tensor]) -> Walked:
    i, j, engine, score = key.split("-")
    own = {name.removeprefix(f"{key}/"): value for name, value in tensors.items() if name.startswith(f"{key}/")}
    curves = {name: own[name].numpy() for name in _CURVES}
    values: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, value in own.items():
        if "/" in name:
            measure, split = name.split("/")
            # Runs that an older version interrupted keep accuracy or average precision under the name `score`.
            values.setdefault(split, {})[score if measure == "score" else measure] = value.numpy()
    ratio = float(own["variance_ratio"]) if "variance_ratio" in own else None
    path = Path(values=values, engine=engine, variance_ratio=ratio, **curves)
    return Walked(int(i), int(j), path, *own["lengths"].tolist())
