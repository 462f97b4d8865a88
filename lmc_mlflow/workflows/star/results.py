"""Logs a trained star: its checkpoint, the barriers on its segments beside those of regular networks, the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from lmc_mlflow.config.commands import StarConfig
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.contract import HEADLINE, Artifact, Tag
from lmc_mlflow.data.loading import BOTH
from lmc_mlflow.evaluation import predict
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.plots.per_run.star import segments_figure
from lmc_mlflow.predictions.ensembles import score_ensemble
from lmc_mlflow.predictions.scores import ACCURACY
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.star_domains import measures
from lmc_mlflow.star_domains.alignment import Aligner, Sources
from lmc_mlflow.star_domains.measures import REGULAR, STAR_HELD_OUT, STAR_SOURCE, Bench, Candidate, SegmentResult
from lmc_mlflow.star_domains.segments import SegmentNetwork
from lmc_mlflow.star_domains.verdict import verdict
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.networks.derived import log_checkpoint
from lmc_mlflow.workflows.star.runs import pair_config_of, star_name
from lmc_mlflow.workflows.star.sources import StarInputs

KINDS = {
    STAR_SOURCE: "star to source",
    STAR_HELD_OUT: "star to held out",
    REGULAR: "regular to regular",
}


@dataclass(frozen=True)
class StarTraining:
    """A star in training.

    Attributes:
        trainee: the star, its optimizer and its noise.
        sources: the networks it is connected to, as they are aligned to it.
        aligner: aligns further networks.
        bench: measures segments.
        optimization: how it is trained.
    """

    trainee: Trainee
    sources: Sources
    aligner: Aligner
    bench: Bench
    optimization: OptimizationConfig


def log_star(
    run: TrackedRun, config: StarConfig, inputs: StarInputs, training: StarTraining, wall_seconds: float
) -> None:
    """Align and recalibrate once more, log the star, measure all its segments and judge it."""
    wrapped = training.trainee.network
    assert isinstance(wrapped, SegmentNetwork)
    if config.segments.match_every:
        training.sources.match(wrapped.star.state_dict(), training.optimization.epochs + 1)
    network = training.bench.network_of(wrapped.star.state_dict())
    _log_network(run, config, inputs, training, network)
    segments = list(measures.measure(training.bench, training.aligner, _pairs(run, config, inputs, training, network)))
    metrics = measures.summarize_segments(segments) | _accuracies(inputs, training, segments)
    judged = _judge(config, segments)
    cost = {"cost/train_seconds": training.trainee.train_seconds, "cost/wall_seconds": wall_seconds}
    decisive = [
        key for kind in (STAR_HELD_OUT, STAR_SOURCE) if (key := f"{kind}/test/barrier_over_chord_max") in metrics
    ]
    metrics[HEADLINE] = metrics[decisive[0]]
    metrics |= {"num_parameters": num_parameters(network), **cost}
    run.log_once(metrics)
    run.log_json(measures.segment_table(segments).to_dict(orient="split", index=False), "barriers.json")
    points = measures.point_table(segments)
    run.log_json(points.to_dict(orient="split", index=False), "segments.json")
    run.log_figure(segments_figure(points, star_name(config, inputs)), "figures/segments.png")
    run.set_tags({Tag.STAR: judged})
    run.describe(_description(config, inputs, segments, metrics, judged))


def _log_network(
    run: TrackedRun, config: StarConfig, inputs: StarInputs, training: StarTraining, network: Module
) -> None:
    trained = pair_config_of(config, inputs, training.optimization)
    digests = {"data": inputs.data.digest, "test": inputs.data.test.digest, "train": inputs.train.digest}
    log_checkpoint(run, network.state_dict(), inputs.sources[0].spec, trained, inputs.side, run.run_id, digests)
    orders = {
        f"{i}/{group}": order.cpu().numpy()
        for i, permutations in enumerate(training.sources.permutations)
        for group, order in permutations.items()
    }
    run.log_arrays(orders, Artifact.STAR_PERMUTATIONS)


def _pairs(
    run: TrackedRun, config: StarConfig, inputs: StarInputs, training: StarTraining, network: Module
) -> list[tuple[str, Candidate, Candidate]]:
    start = training.aligner.start()
    centre = Candidate(run.run_id, network.state_dict(), start)
    device = next(network.parameters()).device
    sources = [
        Candidate(source.run.info.run_id, state, permutations)
        for source, state, permutations in zip(
            inputs.sources, training.sources.logged, training.sources.permutations, strict=True
        )
    ]
    held_out = [Candidate(other.run.info.run_id, _moved(other, device), start) for other in inputs.held_out]
    plain = [Candidate(source.run_id, source.state, start) for source in sources] + held_out
    pairs = measures.regular_pairs(len(plain), config.judging.max_regular_pairs, config.segments.star_seed)
    return [
        *((STAR_SOURCE, centre, source) for source in sources),
        *((STAR_HELD_OUT, centre, other) for other in held_out),
        *((REGULAR, plain[i], plain[j]) for i, j in pairs),
    ]


def _moved(network: LoggedNetwork, device: torch.device) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in network.state.items()}


def _accuracies(inputs: StarInputs, training: StarTraining, segments: Sequence[SegmentResult]) -> dict[str, float]:
    """Score the star and those held out as on their segments, the sources and their ensemble as they were logged."""
    score = segments[0].path.score
    found = {f"{score}/star": float(segments[0].path.scores[measures.SPLIT][0])}
    held_out = [_score_of_b(segment) for segment in segments if segment.kind == STAR_HELD_OUT]
    if held_out:
        found[f"{score}/held_out"] = sum(held_out) / len(held_out)
    if score != ACCURACY:
        of_sources = [_score_of_b(segment) for segment in segments if segment.kind == STAR_SOURCE]
        return found | {f"{score}/sources": sum(of_sources) / len(of_sources)}
    test = inputs.data.test
    device = training.bench.labels.device
    outputs = torch.stack([predict(source.network().to(device), test.images) for source in inputs.sources])
    scores = score_ensemble(outputs.numpy(), test.labels.cpu().numpy(), 0, 0.95, np.random.default_rng(0))
    found[f"{score}/sources"] = scores["member_accuracy"].value
    return found | {f"{score}/ensemble": scores["mean_prediction_accuracy"].value}


def _score_of_b(segment: SegmentResult) -> float:
    return float(segment.path.scores[measures.SPLIT][-1])


def _judge(config: StarConfig, segments: Sequence[SegmentResult]) -> str:
    """Judge by those held out where there are any, else by the sources; the star must be as good as all of them."""
    of_star = [segment for segment in segments if segment.kind != REGULAR]
    decisive = [segment for segment in of_star if segment.kind == STAR_HELD_OUT] or of_star
    return verdict(
        [segment.barrier for segment in decisive],
        float(of_star[0].path.scores[measures.SPLIT][0]),
        [_score_of_b(segment) for segment in of_star],
        config.judging.barrier_threshold,
        config.judging.star_accuracy_threshold,
    )


def _description(
    config: StarConfig, inputs: StarInputs, segments: Sequence[SegmentResult], metrics: dict[str, float], judged: str
) -> str:
    score = segments[0].path.score
    rows = "\n".join(
        f"| {name} | {metrics[f'{kind}/num_segments']:.0f} | {metrics[f'{kind}/test/barrier_over_chord']:.4f} | "
        f"{metrics[f'{kind}/test/barrier_over_chord_max']:.4f} | {metrics[f'{kind}/distance']:.2f} | "
        f"{metrics[f'{kind}/distance_unaligned']:.2f} |"
        for kind, name in KINDS.items()
        if f"{kind}/num_segments" in metrics
    )
    told = {name: f"{score}/{name}" for name in ("star", "sources", "held_out", "ensemble")}
    scores = ", ".join(f"{name.replace('_', ' ')} {metrics[key]:.2%}" for name, key in told.items() if key in metrics)
    limits = config.judging
    return (
        f"**A star: {judged}.** Test {score.replace('_', ' ')}: {scores}.\n\n"
        "| segments | number | barrier over the chord | largest | L2 distance | without permutation |\n"
        f"|---|---|---|---|---|---|\n{rows}\n\n"
        f"{len(inputs.sources)} sources, {len(inputs.held_out)} held out (`barriers.json` names them), "
        f"{_training_words(config, inputs)}. No star if the largest barrier to those held out (or, without any, to the "
        f"sources) exceeds {limits.barrier_threshold:g}, or if it is more than {limits.star_accuracy_threshold:.1%} "
        "below the mean of what it joins."
    )


def _training_words(config: StarConfig, inputs: StarInputs) -> str:
    whose = "both sides" if inputs.side == BOTH else f"side {inputs.side}"
    every, method, bn = config.segments.match_every, config.segments.match_method, config.judging.bn
    how = {0: "never aligned", 1: "aligned in every epoch"}.get(every, f"aligned every {every} epochs")
    how += "" if method == "weights" else f" by {method}"
    how += f", from `{config.starting.start}`" if config.starting.start else ""
    statistics = "" if bn == "recalibrate" else f", batch norm on the segments: {bn}"
    return f"trained on {len(inputs.train):,} images of {whose}, the sources {how}{statistics}"
