"""What is the network B like with its units in A's order, and what is logged of it?"""

from dataclasses import dataclass

from lmc_mlflow.batches import evenly_spaced
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import AlignConfig
from lmc_mlflow.contract import UNALIGNED, Kind, Tag, tag
from lmc_mlflow.tracking.lifecycle import ending, open_run, probe_artifacts
from lmc_mlflow.tracking.store import open_store
from lmc_mlflow.workflows.alignment.find_alignment import (
    Alignment,
    find_alignment,
    find_symmetry,
    log_matching,
    matching_sentence,
    output_difference,
)
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.networks.checkpoints import log_network
from lmc_mlflow.workflows.networks.derived import TRAIN_SECONDS, train_seconds
from lmc_mlflow.workflows.networks.pair_of_networks import Ends, load_ends, log_data, rebuild
from lmc_mlflow.workflows.networks.similarity import similarity

IMAGES_COMPARED = 256
SHAPE_TAGS = ("dataset", "model", "shift", "seed", "side", "noise", "lr", "batch_size", "data_digest")


@dataclass(frozen=True)
class AlignOutcome:
    """A logged alignment: its run, and the numbers."""

    alignment: str
    name: str
    run_a: str
    metrics: dict[str, float]
    converged: bool
    experiment_id: str


def align(config: AlignConfig) -> AlignOutcome:
    """Permute the units of B towards A and log the permuted network, which is usable wherever an endpoint is.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used; says how to put it right.
        FloatingPointError: the permuted network is another function.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    ends = load_ends(store, config.ends)
    symmetry = find_symmetry(ends[0])
    data = rebuild(store, ends[0], config.ends.data_root, device)
    name = _name(ends, config.aligning.method)
    with ending() as keep:
        run = keep(open_run, store, Kind.ALIGNMENT, name, _tags(ends, config))
        probe_artifacts(run, f"A {ends[0].run.info.run_id}\nB {ends[1].run.info.run_id}\n", "ends.txt")
        run.log_params(to_params(config))
        log_data(run, ends[0].config.data, {"train_a": data.side(ends[0].side), "test": data.test})
        alignment = find_alignment(
            ends, symmetry, config.aligning.method, config.matching, data.side(ends[0].side), device
        )
        images = evenly_spaced(data.test.images, IMAGES_COMPARED)
        metrics = {"max_output_difference": output_difference(ends[1], alignment.network, images)}
        metrics |= {f"{UNALIGNED}{key}": value for key, value in similarity(ends[0], ends[1]).items()}
        metrics |= similarity(ends[0], alignment.network)
        metrics[TRAIN_SECONDS] = train_seconds(ends[1])
        run.log_metrics(metrics)
        log_matching(run, alignment)
        log_network(run, alignment.network)
        metrics |= alignment.metrics()
        run.describe(_description(ends, alignment, metrics))
        run.seal()
        run.finish()
    run_a = ends[0].run.info.run_id
    return AlignOutcome(run.run_id, name, run_a, metrics, alignment.matching.converged, run.experiment_id)


def _name(ends: Ends, method: str) -> str:
    a, b = (end.config for end in ends)
    return (
        f"alignment {b.data.dataset} {b.model.model} {b.data.shift} seed {b.model.seed} {ends[1].side} to seed "
        f"{a.model.seed} {ends[0].side} by {method}"
    )


def _tags(ends: Ends, config: AlignConfig) -> dict[str, str]:
    """Those of B, whose network it is, and how it was made."""
    of_b = ends[1].run.data.tags
    tags = {tag(key): of_b[tag(key)] for key in SHAPE_TAGS if tag(key) in of_b}
    return tags | {
        Tag.RUN_A: ends[0].run.info.run_id,
        Tag.RUN_B: ends[1].run.info.run_id,
        Tag.METHOD: config.aligning.method,
        Tag.FINGERPRINT: fingerprint(config, without=("pair", "run_a", "run_b")),
    }


def _description(ends: Ends, alignment: Alignment, metrics: dict[str, float]) -> str:
    rows = "\n".join(
        f"| {label} | {metrics[UNALIGNED + key]:.4g} | {metrics[key]:.4g} |"
        for key, label in (
            ("angle_deg", "angle, all parameters (degrees)"),
            ("angle_weights_deg", "angle, weights alone (degrees)"),
            ("manhattan", "Manhattan distance"),
            ("euclidean_squared", "squared Euclidean distance"),
        )
    )
    return (
        f"**Angle to A {metrics['angle_weights_deg']:.1f} degrees** over the weights, "
        f"{metrics[UNALIGNED + 'angle_weights_deg']:.1f} before; {matching_sentence(alignment)}\n\n"
        f"| between A and B | before | aligned |\n|---|---|---|\n{rows}\n\n"
        f"A: `{ends[0].run.info.run_id}`, B: `{ends[1].run.info.run_id}`. The permuted B is the same function: its "
        f"outputs differ by {metrics['max_output_difference']:.1g} of the largest. "
        f"Walk to it with `-e interpolate -P run_a={ends[0].run.info.run_id} -P run_b=<this run's id>`."
    )
