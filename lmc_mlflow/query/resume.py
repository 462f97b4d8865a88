"""Reads the newest whole state that an interrupted run has written to its slots."""

import json
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import Artifact
from lmc_mlflow.manifest import sha256_of
from lmc_mlflow.tracking.resume import NUM_SLOTS, slot_names


def newest_state(client: MlflowClient, run_id: str, folder: Path) -> Path | None:
    """Download the states that a run has written, and give the newest whole one; None if there is none.

    A state counts if its note is there and names its sha256; see `tracking.resume`.

    Args:
        client: of the server.
        run_id: of the run.
        folder: where the states are downloaded to.
    """
    try:
        local = Path(client.download_artifacts(run_id, Artifact.RESUME_FOLDER, str(folder)))
    except (MlflowException, OSError):
        return None
    whole: dict[int, Path] = {}
    for slot in range(NUM_SLOTS):
        note, state = (local / name for name in slot_names(slot))
        try:
            content = json.loads(note.read_text())
            if state.is_file() and sha256_of(state) == content["sha256"]:
                whole[int(content["epoch"])] = state
        except (OSError, ValueError, KeyError):  # a slot never written, or cut short
            continue
    return whole[max(whole)] if whole else None
