"""Logs params, metrics, tags, files and figures to one run."""

import hashlib
import json
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.manifest import render_manifest, sha256_of
from lmc_mlflow.schema import write_json
from lmc_mlflow.tracking.connection.client import StoreError
from lmc_mlflow.tracking.descriptions import NOTE, with_links
from lmc_mlflow.tracking.downloads import download

PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000
MAX_PARAM = 6000
"""Characters of a param that MLflow takes; it would cut longer ones with a warning."""


class TrackedRun:
    """One run that is being written; remembers the digests of its artifacts and whether it has ended."""

    def __init__(self, client: MlflowClient, run_id: str, experiment_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.experiment_id = experiment_id
        self._digests: dict[str, str] = {}
        self._artifacts: ArtifactRepository | None = None
        self.has_ended = False

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log params: `section.field` -> canonical text; of a list that no store can hold the length and the digest.

        Params are write-once: a resumed run keeps those that it has (as the device of its first process).
        """
        known = self.client.get_run(self.run_id).data.params
        batch = [Param(key, _param_text(value)) for key, value in params.items() if key not in known]
        for start in range(0, len(batch), PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=batch[start : start + PARAMS_PER_CALL])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log several metrics at one step in one call."""
        self.log_curves({key: [(step, value)] for key, value in metrics.items()})

    def log_once(self, metrics: Mapping[str, float]) -> None:
        """Log results of a run that may be resumed: what a process that was killed after this has logged, stays."""
        known = self.client.get_run(self.run_id).data.metrics
        self.log_metrics({key: value for key, value in metrics.items() if key not in known})

    def log_curves(self, curves: Mapping[str, list[tuple[int, float]]]) -> None:
        """Log whole curves: key -> points (integer step, value)."""
        now = time.time_ns() // 1_000_000
        points = [Metric(key, value, now, step) for key, curve in curves.items() for step, value in curve]
        for start in range(0, len(points), METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=points[start : start + METRICS_PER_CALL])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, one call each (a batch would count against the server's limits on length)."""
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, value)

    def describe(self, markdown: str) -> None:
        """Set the description, in Markdown, that the UI shows at the top of the run; run ids become links."""
        self.client.set_tag(self.run_id, NOTE, with_links(self.client, markdown))

    def log_dataset(
        self, name: str, digest: str, source: tuple[str, Mapping[str, Any]], profile: Mapping[str, Any], context: str
    ) -> None:
        """Log a data set as an input of the run, under the digest that this project computes.

        Args:
            name: of the data set.
            digest: of its content.
            source: MLflow's type of source, as `local` or `code`, and what describes it.
            profile: facts about it.
            context: what the run uses it for.
        """
        dataset = Dataset(
            name=name,
            digest=digest,
            source_type=source[0],
            source=json.dumps(source[1]),
            profile=json.dumps(profile),
        )
        inputs = [DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])]
        try:
            self.client.log_inputs(self.run_id, datasets=inputs)
        except MlflowException:  # another process logs the same data set for the first time: now it is there
            self.client.log_inputs(self.run_id, datasets=inputs)

    def log_model_input(self, model_id: str) -> None:
        """Link a logged model as an input of the run."""
        self.client.log_inputs(self.run_id, models=[LoggedModelInput(model_id)])

    def log_text(self, text: str, path: str) -> None:
        """Log a text file."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            local.write_text(text)
            self._log_file(local, path)

    def log_json(self, content: Any, path: str) -> None:
        """Log content as a JSON file; numbers that are not finite are null there."""
        self.log_text(write_json(content), path)

    def log_arrays(self, arrays: Mapping[str, NDArray[Any]], path: str) -> None:
        """Log arrays as one .npz file, without pickles."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            np.savez_compressed(local, **arrays)  # type: ignore[arg-type]
            self._log_file(local, path)

    def log_tensors(self, tensors: Mapping[str, Tensor], path: str, header: Mapping[str, str] | None = None) -> None:
        """Log tensors as one safetensors file; `header` is what it holds that is no tensor."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            held = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
            save_file(held, local, metadata=None if header is None else dict(header))
            self._log_file(local, path)

    def remember_file(self, path: str) -> bool:
        """Take a whole file that an earlier process of the run has logged into the manifest; tell whether it is there.

        Call it for files alone that were complete before the progress was written which the run goes on from.
        """
        try:
            self._digests[path] = self._stored_digest(path)
        except (MlflowException, OSError):
            return False
        return True

    def log_figure(self, figure: Figure, path: str) -> None:
        """Log a figure as a PNG file."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box is drawn
                figure.savefig(local, dpi=120)
            self._log_file(local, path)

    def log_scratch(self, local: Path, folder: str) -> None:
        """Log a file that is deleted when the run is done; it stays out of the manifest."""
        self.client.log_artifact(self.run_id, str(local), folder)

    def delete_artifacts(self, path: str) -> None:
        """Delete the artifacts below a path, where the artifact store can do that."""
        self._repository().delete_artifacts(path)  # type: ignore[no-untyped-call]

    def _log_file(self, local: Path, path: str) -> None:
        parent = str(Path(path).parent)
        self.client.log_artifact(self.run_id, str(local), None if parent == "." else parent)
        self._digests[path] = sha256_of(local)

    def seal(self) -> None:
        """Read the artifacts back and write the manifest; from then on they count as complete.

        Raises:
            StoreError: an artifact is not there any more, or not the one that was logged.
        """
        self._check_artifacts()
        self.log_text(render_manifest(self._digests), Artifact.MANIFEST)

    def _check_artifacts(self) -> None:
        for path, digest in self._digests.items():
            try:
                is_whole = self._stored_digest(path) == digest
            except (MlflowException, OSError):
                is_whole = False
            if not is_whole:
                raise StoreError(
                    f"run {self.run_id}: its artifact {path} is not in the store as it was logged; see to the artifact "
                    "folder, then give the same command again"
                )

    def _stored_digest(self, path: str) -> str:
        """Compute the digest of an artifact as it lies in the store; a folder of this machine is read in place."""
        repository = self._repository()
        if isinstance(repository, LocalArtifactRepository):
            return sha256_of(Path(repository.download_artifacts(path)))  # type: ignore[no-untyped-call]
        with tempfile.TemporaryDirectory() as folder:
            return sha256_of(download(self.client, self.run_id, path, Path(folder)))

    def _repository(self) -> ArtifactRepository:
        if self._artifacts is None:
            uri = self.client.get_run(self.run_id).info.artifact_uri
            self._artifacts = get_artifact_repository(uri, self.client.tracking_uri)
        return self._artifacts

    def finish(self) -> None:
        """End the run as FINISHED, unless it has ended."""
        if not self.has_ended:
            self.client.set_terminated(self.run_id, status="FINISHED")
            self.has_ended = True

    def end(self, status: str, why: str) -> None:
        """End the run as FAILED or KILLED with a reason, unless it has ended; one that was deleted stays deleted."""
        if self.has_ended:
            return
        is_deleted = self.is_deleted()
        if is_deleted:
            self.client.restore_run(self.run_id)
        self.client.set_terminated(self.run_id, status=status)
        self.has_ended = True
        self.client.set_tag(self.run_id, Tag.ERROR, why)
        if is_deleted:
            self.client.delete_run(self.run_id)

    def is_deleted(self) -> bool:
        """Tell whether somebody has deleted the run."""
        return bool(self.client.get_run(self.run_id).info.lifecycle_stage == "deleted")


def _param_text(value: str) -> str:
    if len(value) <= MAX_PARAM:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()
    return f"{value.count(',') + 1} values, sha256 {digest[:16]} (an artifact of the run lists them)"
