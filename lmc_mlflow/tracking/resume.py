"""Writes resumable states to two slots of a run in turn, each followed by a note with its sha256."""

import json
from pathlib import Path

from lmc_mlflow.contract import Artifact
from lmc_mlflow.manifest import sha256_of
from lmc_mlflow.tracking.run import TrackedRun

NUM_SLOTS = 2


def slot_names(slot: int) -> tuple[str, str]:
    """Give the file names of a slot: its note and its state."""
    return f"slot_{slot}.json", f"slot_{slot}.safetensors"


def write_state(run: TrackedRun, local: Path, progress: int, slot: int) -> None:
    """Log a state to a slot, then the note that makes it count: a process killed in between leaves the other slot.

    Args:
        run: a pair, star, trajectory, matrix or plane.
        local: the state, a safetensors file; it is renamed.
        progress: how far the state is, as in epochs; of two whole states the one that is further counts.
        slot: 0 or 1, in turn.
    """
    note_name, state_name = slot_names(slot)
    state = local.rename(local.with_name(state_name))
    note = local.with_name(note_name)
    note.write_text(json.dumps({"epoch": progress, "sha256": sha256_of(state)}))
    run.log_scratch(state, Artifact.RESUME_FOLDER)
    run.log_scratch(note, Artifact.RESUME_FOLDER)
