"""How is a training kept so that kill -9 cannot lose it? Two slots written in turn, each closed by a note."""

import json
from pathlib import Path

from lmc_mlflow.contract import Artifact
from lmc_mlflow.manifest import sha256_of
from lmc_mlflow.tracking.run import TrackedRun

NUM_SLOTS = 2


def slot_names(slot: int) -> tuple[str, str]:
    """File names of a slot: its note and its state."""
    return f"slot_{slot}.json", f"slot_{slot}.safetensors"


def keep_state(run: TrackedRun, local: Path, epoch: int, slot: int) -> None:
    """Log a state into a slot, then the note with its epoch and sha256 that makes it count.

    Args:
        run: the pair run.
        local: the file written by `training.state.save`.
        epoch: the last whole epoch in it.
        slot: 0 or 1, in turn: the other slot stays whole whatever happens meanwhile.
    """
    note_name, state_name = slot_names(slot)
    state = local.rename(local.with_name(state_name))
    note = local.with_name(note_name)
    note.write_text(json.dumps({"epoch": epoch, "sha256": sha256_of(state)}))
    run.log_scratch(state, Artifact.RESUME_FOLDER)
    run.log_scratch(note, Artifact.RESUME_FOLDER)
