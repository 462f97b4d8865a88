"""Packs a run for a bundle: its record, and its artifacts, verified against the run's own manifest."""

from collections.abc import Collection
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lmc_mlflow.bundles.artifact_locations import ArtifactLocation
from lmc_mlflow.bundles.metric_histories import Histories
from lmc_mlflow.bundles.records import LEFT_OUT, InputRecord, RunRecord
from lmc_mlflow.contract import SEALED_KINDS, Artifact, Tag
from lmc_mlflow.manifest import read_manifest, verify

ARRAY_FOLDERS = (Artifact.CHECKPOINT_FOLDER, Artifact.RESUME_FOLDER, Artifact.PREDICTIONS_FOLDER)
ARRAY_SUFFIXES = (".npz", ".npy", ".safetensors", ".pt", ".pth", ".ckpt")
FIGURE_SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".html")


def is_wanted(path: str, checkpoints: bool, figures: bool, leave_out: Collection[str]) -> bool:
    """Return whether an artifact is packed.

    Args:
        path: below the run's artifacts.
        checkpoints: whether arrays are packed.
        figures: whether figures and pages are.
        leave_out: names of files that are not.
    """
    where = Path(path)
    if where.name in leave_out:
        return False
    is_array = where.parts[0] in ARRAY_FOLDERS or where.suffix in ARRAY_SUFFIXES
    return (checkpoints or not is_array) and (figures or where.suffix not in FIGURE_SUFFIXES)


def artifacts_left_out(present: list[str], missing: list[str], chosen: list[str]) -> tuple[str, ...]:
    """List the artifacts of a run that are not packed; predictions can be computed again and do not count."""
    return tuple(
        path for path in sorted({*present, *missing} - {*chosen}) if Path(path).parts[0] != Artifact.PREDICTIONS_FOLDER
    )


def fetch_artifacts(location: ArtifactLocation, wanted: list[str], folder: Path) -> dict[str, Path]:
    """Fetch artifacts and verify them: artifact path -> local copy, or the artifact itself where it is a local file.

    Each that the run's manifest lists is compared with it; predictions that were kept later are not listed.

    Raises:
        ValueError: one is altered, or cannot be read.
    """
    files: dict[str, Path] = {}
    for path in wanted:
        target = folder / str(len(files))
        target.mkdir()
        try:
            files[path] = location.fetch(path, target)
        except (MlflowException, OSError) as error:
            raise ValueError(f"artifact {path} cannot be read ({error})") from None
    if Artifact.MANIFEST in files:
        known = paths_in_manifest(files[Artifact.MANIFEST])
        verify(files[Artifact.MANIFEST], {path: local for path, local in files.items() if path in known})
    return files


def paths_in_manifest(manifest: Path) -> set[str]:
    """List the paths in a manifest; none if it is damaged, which `verify` reports."""
    try:
        return set(read_manifest(manifest))
    except ValueError:
        return set()


def missing_artifacts(run: Run, present: list[str], manifest: Path | None) -> list[str]:
    """List the artifacts of a run that the store lacks, because it was imported without them.

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
    lost = sorted(paths_in_manifest(manifest) - {*present, *known})
    if lost:
        raise ValueError(f"artifact {lost[0]} is in its {Artifact.MANIFEST} and not at {run.info.artifact_uri}")
    return sorted(known - set(present))


def record_of(run: Run, experiment: str, metrics: Histories, absent: tuple[str, ...]) -> RunRecord:
    """Make the record of a run: everything but its artifacts.

    Args:
        run: as a search gives it.
        experiment: name of its experiment.
        metrics: every point that was logged.
        absent: artifacts that are not packed.
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
        tags={key: value for key, value in run.data.tags.items() if key not in (LEFT_OUT, Tag.PUBLISHED)},
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
