"""What does a store hold of a run? Everything about it, and its artifacts, verified against its own manifest."""

import json
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lmc_mlflow.bundles.artifact_locations import Place
from lmc_mlflow.bundles.metric_histories import Histories
from lmc_mlflow.bundles.records import LEFT_OUT, InputRecord, RunRecord
from lmc_mlflow.contract import SEALED_KINDS, Artifact, Tag
from lmc_mlflow.manifest import verify

ARRAY_FOLDERS = (Artifact.CHECKPOINT_FOLDER, Artifact.RESUME_FOLDER, Artifact.PREDICTIONS_FOLDER)
ARRAY_SUFFIXES = (".npz", ".npy", ".safetensors", ".pt", ".pth", ".ckpt")
FIGURE_SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".html")
"""Kinds of runs that never finish without a manifest."""


def is_wanted(path: str, checkpoints: bool, figures: bool) -> bool:
    """Whether an artifact comes along."""
    where = Path(path)
    is_array = where.parts[0] in ARRAY_FOLDERS or where.suffix in ARRAY_SUFFIXES
    return (checkpoints or not is_array) and (figures or where.suffix not in FIGURE_SUFFIXES)


def left_out(present: list[str], missing: list[str], chosen: list[str]) -> tuple[str, ...]:
    """Artifacts that a run has and that do not come along; kept predictions can be made again and do not count."""
    return tuple(
        path for path in sorted({*present, *missing} - {*chosen}) if Path(path).parts[0] != Artifact.PREDICTIONS_FOLDER
    )


def fetch(place: Place, wanted: list[str], folder: Path) -> dict[str, Path]:
    """Artifact path -> local copy, or the artifact itself where it is a local file.

    Those that the run's manifest lists are held against it; predictions that were kept later are not listed.

    Raises:
        ValueError: one is altered, or cannot be read.
    """
    files: dict[str, Path] = {}
    for path in wanted:
        target = folder / str(len(files))
        target.mkdir()
        try:
            files[path] = place.fetch(path, target)
        except (MlflowException, OSError) as error:
            raise ValueError(f"artifact {path} cannot be read ({error})") from None
    if Artifact.MANIFEST in files:
        known = listed(files[Artifact.MANIFEST])
        verify(files[Artifact.MANIFEST], {path: local for path, local in files.items() if path in known})
    return files


def listed(manifest: Path) -> set[str]:
    """The paths that a manifest lists; none if it is damaged, which `verify` reports."""
    try:
        return set(json.loads(manifest.read_text())["sha256"])
    except (ValueError, KeyError, TypeError):
        return set()


def missing_artifacts(run: Run, present: list[str], manifest: Path | None) -> list[str]:
    """Artifacts that a run has and the store has not, because it was imported without them.

    Raises:
        ValueError: they are missing though they should be there.
    """
    known = {path for path in run.data.tags.get(LEFT_OUT, "").split(",") if path}
    if manifest is None:
        if run.info.status == "FINISHED" and run.data.tags.get(Tag.KIND) in SEALED_KINDS:
            raise ValueError(
                f"it is FINISHED and there is no {Artifact.MANIFEST} at {run.info.artifact_uri}; "
                "were its artifacts moved?"
            )
        return sorted(known - set(present))
    lost = sorted(listed(manifest) - {*present, *known})
    if lost:
        raise ValueError(f"artifact {lost[0]} is in its {Artifact.MANIFEST} and not at {run.info.artifact_uri}")
    return sorted(known - set(present))


def record_of(run: Run, experiment: str, metrics: Histories, absent: tuple[str, ...]) -> RunRecord:
    """All there is to say of a run, its artifacts apart.

    Args:
        run: as a search gives it.
        experiment: name of its experiment.
        metrics: every point that was logged.
        absent: artifacts that do not come along.
    """
    info = run.info
    return RunRecord(
        run_id=info.run_id,
        experiment=experiment,
        name=info.run_name or "",
        status=info.status,
        start_time=info.start_time,
        end_time=info.end_time,
        user=info.user_id,
        params=dict(run.data.params),
        tags={key: value for key, value in run.data.tags.items() if key != LEFT_OUT},
        metrics=metrics,
        inputs=_inputs(run),
        left_out=absent,
    )


def _inputs(run: Run) -> tuple[InputRecord, ...]:
    if run.inputs is None:
        return ()
    found = [
        InputRecord(
            name=item.dataset.name,
            digest=item.dataset.digest,
            source_type=item.dataset.source_type,
            source=item.dataset.source,
            schema=item.dataset.schema,
            profile=item.dataset.profile,
            tags={tag.key: tag.value for tag in item.tags},
        )
        for item in run.inputs.dataset_inputs
    ]
    return tuple(sorted(found, key=lambda item: (item.name, item.digest)))
