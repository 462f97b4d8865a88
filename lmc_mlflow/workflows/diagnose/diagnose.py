"""Diagnoses the barrier between two logged networks, and logs what was found as a run."""

import logging
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import torch

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import DiagnoseConfig
from lmc_mlflow.config.data import NORMALIZATIONS
from lmc_mlflow.contract import HEADLINE, Artifact, Kind, Tag
from lmc_mlflow.data.loading import LabelledImages, load_shifted
from lmc_mlflow.diagnosis.diagnose import diagnose as find_causes
from lmc_mlflow.diagnosis.findings import Diagnosis
from lmc_mlflow.diagnosis.remedies import Treatable
from lmc_mlflow.diagnosis.subject import Split, Subject
from lmc_mlflow.diagnosis.symptoms import Rules
from lmc_mlflow.paths.intervals import Bootstrap
from lmc_mlflow.plots.per_run.diagnosis import diagnosis_figure
from lmc_mlflow.plots.style import png_bytes
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.seeds import stream
from lmc_mlflow.tracking.connection.store import beside, open_store
from lmc_mlflow.tracking.descriptions import list_on
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry
from lmc_mlflow.workflows.diagnose.page import diagnosis_markdown, diagnosis_page, finding_rows
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.networks.dataset_inputs import log_data
from lmc_mlflow.workflows.networks.pair_of_networks import (
    Ends,
    load_ends,
    load_splits,
    split_inputs,
)
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.tags import joined_tags

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DiagnosisOutcome(Outcome):
    """A logged diagnosis.

    Attributes:
        diagnosis: what was found.
        run_a: run id of A.
        run_b: run id of B.
    """

    diagnosis: Diagnosis
    run_a: str
    run_b: str


def diagnose(config: DiagnoseConfig, parent: TrackedRun | None = None) -> DiagnosisOutcome:
    """Name the causes of the barrier between two logged networks, and log a page about them.

    Args:
        config: which networks, and how sure a cause must be.
        parent: run that the run is nested under.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used; says how to put it right.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    config = with_runs(config, "ends", ("run_a", "run_b"))
    store = open_store()
    ends = load_ends(store, config.ends, any_scaling=True)
    store = beside(store, ends[0].run.info.experiment_id)
    own = config.diagnosing
    splits = load_splits(store, ends, config.ends.data_root, device)
    subject = make_subject(config, ends, splits, device)
    a, b = (end.run.info.run_id for end in ends)
    name = group_run_name("diagnosis", ends)
    tags = {Tag.RUN_A: a, Tag.RUN_B: b, Tag.FINGERPRINT: fingerprint(config, ("pair", "run_a", "run_b"))}
    if ends[0].split_run == ends[1].split_run:
        tags[Tag.PAIR] = ends[0].split_run
    start = RunStart(name, tags | joined_tags(ends), to_params(config), ("ends.txt", f"A {a}\nB {b}\n"))
    with new_run(store, Kind.DIAGNOSIS, start, parent) as run:
        log_data(run, split_inputs(ends, splits))
        rules = Rules(own.barrier_threshold, own.accuracy_delta_threshold, own.confidence)
        bootstrap = Bootstrap(own.num_resamples, own.confidence, own.resamples_seed)
        found = find_causes(Treatable(subject), own.num_alphas, rules, bootstrap)
        metrics = _log(run, found, name, (a, b))
    for pair in dict.fromkeys(end.split_run for end in ends):
        list_on(run.client, pair, f"diagnosis `{run.run_id}`: {found.answer} ({', '.join(found.causes) or 'no cause'})")
    return DiagnosisOutcome(run.run_id, name, "diagnosed", metrics, run.experiment_id, found, a, b)


def make_subject(
    config: DiagnoseConfig, ends: Ends, splits: dict[str, LabelledImages], device: torch.device
) -> Subject:
    """Bring two networks and their images together, with what the remedies need where it is known."""
    a, b = ends
    knows_training = a.knows_training and b.knows_training
    sides = [splits[f"train_{side}"] for side in "ab"] if knows_training else []
    training = [_sample(images, config.diagnosing.num_training_images) for images in sides]
    of_a, of_b = ({name: value.to(device) for name, value in end.state.items()} for end in ends)
    return Subject(
        a.network().to(device),
        of_a,
        of_b,
        (splits["test"].images, splits["test"].labels),
        tuple(training),
        _joined(training),
        _symmetry(a),
        partial(_scalings, config, ends, device),
        (_epochs(a), _epochs(b)),
    )


def _sample(images: LabelledImages, most: int) -> Split:
    """Draw some of the images, always the same ones."""
    chosen = torch.randperm(len(images.labels), generator=stream(0, "diagnosis/training"))[:most]
    return ResidentImages(next(images.images.batches(chosen, most))), images.labels[chosen.to(images.labels.device)]


def _joined(parts: list[Split]) -> Images | None:
    """Join the samples of both sides, on which batch norm is recalibrated."""
    if not parts:
        return None
    return ResidentImages(torch.cat([next(images.batches(None, len(labels))) for images, labels in parts]))


def _symmetry(end: LoggedNetwork) -> Symmetry | None:
    try:
        return find_symmetry(end)
    except ValueError as error:
        logger.warning("permutation and scale of units are not looked at: %s", error)
        return None


def _scalings(config: DiagnoseConfig, ends: Ends, device: torch.device) -> dict[str, Images]:
    """Load the test images in every scaling that is not A's, B's among them."""
    data = ends[0].config.data
    if config.ends.data_root:
        data = replace(data, data_root=config.ends.data_root)
    wanted = {name: replace(data, normalization=name, mean=(), std=()) for name in NORMALIZATIONS}
    wanted[ends[1].config.data.scaling] = replace(ends[1].config.data, data_root=data.data_root)
    wanted.pop(data.scaling, None)
    return {name: load_shifted(own, device).test.images for name, own in wanted.items()}


def _epochs(end: LoggedNetwork) -> int | None:
    return end.config.optimization.epochs if end.knows_training else None


def _log(run: TrackedRun, found: Diagnosis, name: str, ends: tuple[str, str]) -> dict[str, float]:
    """Log numbers, tables, the figure and the page; return the metrics."""
    metrics = dict(found.metrics())
    run.log_metrics(metrics | {HEADLINE: found.whole.value})
    run.log_json(pd.DataFrame(finding_rows(found, ends)).to_dict(orient="split", index=False), Artifact.DIAGNOSIS)
    curves = [
        {"path": curve.label, "alpha": float(alpha), "value": float(value)}
        for curve in found.curves
        for alpha, value in zip(curve.alphas, curve.values, strict=True)
    ]
    run.log_json(pd.DataFrame(curves).to_dict(orient="split", index=False), Artifact.DIAGNOSIS_CURVES)
    figure = diagnosis_figure(pd.DataFrame(curves), pd.DataFrame(finding_rows(found, ends)), name, found.what)
    run.log_figure(figure, "figures/diagnosis.png")
    text = diagnosis_markdown(found, ends)
    run.log_text(text, "diagnosis.md")
    run.log_text(diagnosis_page(found, ends, name, png_bytes(figure)), "diagnosis.html")
    run.set_tags({Tag.DIAGNOSIS: found.answer, Tag.CAUSES: ",".join(found.causes)})
    run.describe(text)
    return metrics
