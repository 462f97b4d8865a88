"""Where can an interrupted training continue? The newest whole state among those that a run kept."""

import json
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import Artifact
from lmc_mlflow.manifest import sha256_of
from lmc_mlflow.tracking.resume import NUM_SLOTS, slot_names


def newest_state(client: MlflowClient, run_id: str, folder: Path) -> Path | None:
    """Download the states that a run kept, and name the newest whole one, or None.

    States are written to two slots in turn, each followed by a note with its epoch and sha256: a
    process killed while it writes one leaves the other.
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
