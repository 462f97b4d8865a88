"""Permutes the units of one logged network towards another, and logs the permuted network."""

from dataclasses import dataclass

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.alignment.methods.table import METHODS
from lmc_mlflow.batches import evenly_spaced
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import AlignConfig
from lmc_mlflow.contract import HEADLINE, UNALIGNED, Kind, Tag
from lmc_mlflow.tracking.connection.store import beside, open_store
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.alignment.find_alignment import (
    Alignment,
    blocks_sentence,
    channels_sentence,
    find_alignment,
    find_symmetry,
    log_matching,
    map_heads_too,
    matching_sentence,
    output_difference,
)
from lmc_mlflow.workflows.alignment.rescaled import find_rescaled_alignment
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.networks.dataset_inputs import log_data
from lmc_mlflow.workflows.networks.derived import TRAIN_SECONDS, log_network, train_seconds
from lmc_mlflow.workflows.networks.pair_of_networks import (
    Ends,
    load_ends,
    rebuild,
    require_training,
    split_inputs,
)
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.similarity import similarity
from lmc_mlflow.workflows.networks.tags import inherited_tags
from lmc_mlflow.workflows.publish.at_end import check_publishable, publish_all

IMAGES_COMPARED = 256


@dataclass(frozen=True)
class AlignOutcome(Outcome):
    """A logged alignment.

    Attributes:
        run_a: run id of A.
        converged: whether the matching settled.
        channels: how many hidden channels may move, in a sentence.
        blocks: how many heads, groups of channels or experts changed places; empty where there are none.
        model: address of its published model; empty where none was wanted.
    """

    run_a: str
    converged: bool
    channels: str
    blocks: str = ""
    model: str = ""


def align(config: AlignConfig) -> AlignOutcome:
    """Permute the units of B towards A and log the permuted network, which can be used wherever an endpoint can.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used; says how to put it right.
        FloatingPointError: the permuted network does not compute the same function.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    config = with_runs(config, "ends", ("run_a", "run_b"))
    store = open_store()
    ends = load_ends(store, config.ends)
    symmetry = find_symmetry(ends[0])
    _check_there_is_work(ends, symmetry, config)
    if config.publishing.publish:
        check_publishable(ends[1].spec)
    store = beside(store, ends[0].run.info.experiment_id)
    data = rebuild(store, ends[0], config.ends.data_root, device)
    images = data.side(ends[0].side) if ends[0].knows_training else None
    if METHODS[config.aligning.method].needs_images:
        require_training(ends[:1])
    name = group_run_name("aligned", (ends[1], ends[0]), config.aligning.method)
    run_a, run_b = (end.run.info.run_id for end in ends)
    first_file = ("ends.txt", f"A {run_a}\nB {run_b}\n")
    with new_run(store, Kind.ALIGNMENT, RunStart(name, _tags(ends, config), to_params(config), first_file)) as run:
        splits = {"test": data.test} | ({"train_a": images} if images is not None else {})
        log_data(run, split_inputs(ends, splits))
        compared = evenly_spaced(data.test.images, IMAGES_COMPARED)
        if config.aligning.rescale:
            alignment = find_rescaled_alignment(ends, symmetry, config, images, compared)
        else:
            alignment = find_alignment(ends, symmetry, config.aligning.method, config.matching, images, device)
        if config.aligning.heads == "map":
            alignment = map_heads_too(alignment, ends, config.matching)
        metrics = {"max_output_difference": output_difference(ends[1], alignment.network, compared)}
        metrics |= {f"{UNALIGNED}{key}": value for key, value in similarity(ends[0], ends[1]).items()}
        metrics |= similarity(ends[0], alignment.network)
        metrics[HEADLINE] = metrics["angle_weights_deg"]
        metrics[TRAIN_SECONDS] = train_seconds(ends[1])
        run.log_metrics(metrics)
        log_matching(run, alignment)
        log_network(run, alignment.network)
        metrics |= alignment.metrics()
        run.describe(_description(ends, alignment, metrics))
    model = ""
    if config.publishing.publish:
        model = publish_all([run.run_id], config.runtime, config.ends.data_root)[run.run_id]
    converged = alignment.matching.converged
    sentences = channels_sentence(symmetry), blocks_sentence(alignment)
    return AlignOutcome(run.run_id, name, "aligned", metrics, run.experiment_id, run_a, converged, *sentences, model)


def _check_there_is_work(ends: Ends, symmetry: Symmetry, config: AlignConfig) -> None:
    for end in ends:
        end.refuse_if_diverged()
    if ends[0].run.info.run_id == ends[1].run.info.run_id:
        raise ValueError(f"run_a and run_b are both run {ends[0].run.info.run_id}; give two networks")
    if not symmetry.sizes:
        raise ValueError(f"{ends[0].spec.model} has no units that could be exchanged; nothing is aligned")
    if config.aligning.heads == "map" and not symmetry.mixable:
        raise ValueError(
            f"{ends[0].spec.model} has no heads that may be mapped: none whose queries meet keys, or values the output "
            "layer, in products alone (no norm, no rotation); leave out heads=map"
        )


def _tags(ends: Ends, config: AlignConfig) -> dict[str, str]:
    """Give the tags of B, whose network it is, and of how it was made."""
    return inherited_tags(ends[1]) | {
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
