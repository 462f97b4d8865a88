"""Measures the barriers and lengths of a star's segments and of those between regular networks."""

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import alpha_grid, summary_keys
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import network_at
from lmc_mlflow.paths.walk import Path, measure_path
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.star_domains.alignment import Aligner, Permutations
from lmc_mlflow.weights import State

STAR_SOURCE, STAR_HELD_OUT, REGULAR = "star_source", "star_held_out", "regular"
SPLIT = "test"


@dataclass(frozen=True)
class Bench:
    """What segments are measured with.

    Attributes:
        network: of the architecture, on the device; its weights do not matter.
        images: of the test set.
        labels: of the test set.
        calibration: the star's training images, for batch-norm policies that need images.
        num_alphas: points of a segment.
        bn: a row of `points.BN_POLICIES`, on the segments, the ends included.
    """

    network: nn.Module
    images: Images
    labels: Tensor
    calibration: Images
    num_alphas: int
    bn: str = "recalibrate"

    def network_of(self, state: State) -> nn.Module:
        """Build the network of a state; batch norm's statistics are computed anew, as training keeps none."""
        scratch = copy.deepcopy(self.network).requires_grad_(False).eval()
        return network_at(scratch, Segment(state, state), 0.0, "recalibrate", self.calibration)

    def path(self, left: State, right: State) -> Path:
        """Measure the segment between two states."""
        splits = {SPLIT: (self.images, self.labels)}
        alphas = alpha_grid(self.num_alphas)
        return measure_path(self.network, Segment(left, right), alphas, splits, self.bn, self.calibration)


@dataclass(frozen=True)
class Candidate:
    """One end of a segment: a run's id, its state, and the permutation from which it is aligned."""

    run_id: str
    state: State
    start: Permutations


@dataclass(frozen=True)
class SegmentResult:
    """What was measured on a segment.

    Attributes:
        kind: `star_source`, `star_held_out` or `regular`.
        run_a: at alpha 0; the star where there is one.
        run_b: at alpha 1; permuted.
        path: its losses and scores.
        distance: L2, between the ends as they were measured, over trainable parameters.
        distance_unaligned: without the permutation.
    """

    kind: str
    run_a: str
    run_b: str
    path: Path
    distance: float
    distance_unaligned: float

    @property
    def barrier(self) -> float:
        """The barrier over the chord, on test data."""
        return self.path.summaries[SPLIT].barrier_over_chord


def regular_pairs(num_networks: int, most: int, seed: int) -> list[tuple[int, int]]:
    """Choose all pairs of networks, or a seeded choice of `most` of them, in order."""
    pairs = list(itertools.combinations(range(num_networks), 2))
    if len(pairs) <= most:
        return pairs
    rng = np.random.default_rng(derive_seed(seed, "star/regular"))
    return [pairs[i] for i in sorted(rng.choice(len(pairs), most, replace=False))]


def measure(
    bench: Bench, aligner: Aligner, pairs: Sequence[tuple[str, Candidate, Candidate]]
) -> Iterator[SegmentResult]:
    """Align the second network of each pair to the first and measure the segment between them, pair by pair.

    Args:
        bench: the data.
        aligner: the matching.
        pairs: kind, network at alpha 0, network at alpha 1.
    """
    names = trainable(bench.network)
    for i, (kind, a, b) in enumerate(tqdm(pairs, desc="segments", unit="segment", leave=False, disable=None)):
        aligned = aligner.apply(b.state, aligner.towards(a.state, b.state, b.start, "verification", i))
        yield SegmentResult(
            kind=kind,
            run_a=a.run_id,
            run_b=b.run_id,
            path=bench.path(a.state, aligned),
            distance=math.sqrt(weights.euclidean_squared(a.state, aligned, names)),
            distance_unaligned=math.sqrt(weights.euclidean_squared(a.state, b.state, names)),
        )


def summarize_segments(segments: Sequence[SegmentResult]) -> dict[str, float]:
    """Compute mean, sample standard deviation (of two or more) and maximum by kind, named as they are logged."""
    found: dict[str, float] = {}
    for kind in (STAR_SOURCE, STAR_HELD_OUT, REGULAR):
        rows = [segment for segment in segments if segment.kind == kind]
        if not rows:
            continue
        columns = {
            f"{SPLIT}/barrier_over_chord": [row.barrier for row in rows],
            f"{SPLIT}/error_barrier": [row.path.summaries[SPLIT].error_barrier for row in rows],
            "distance": [row.distance for row in rows],
            "distance_unaligned": [row.distance_unaligned for row in rows],
        }
        for name, values in columns.items():
            found[f"{kind}/{name}"] = float(np.mean(values))
            found[f"{kind}/{name}_max"] = max(values)
            if len(values) > 1:
                found[f"{kind}/{name}_std"] = float(np.std(values, ddof=1))
        found[f"{kind}/num_segments"] = len(rows)
    return found


def segment_table(segments: Sequence[SegmentResult]) -> pd.DataFrame:
    """Make one row a segment: the content of `barriers.json`."""
    rows: list[Mapping[str, object]] = []
    for segment in segments:
        summary = summary_keys(segment.path.summaries[SPLIT], segment.path.score)
        own = {"kind": segment.kind, "run_a": segment.run_a, "run_b": segment.run_b}
        ends = segment.path.scores[SPLIT]
        scores = {f"{segment.path.score}_a": float(ends[0]), f"{segment.path.score}_b": float(ends[-1])}
        lengths = {"distance": segment.distance, "distance_unaligned": segment.distance_unaligned}
        rows.append({**own, **summary, **scores, **lengths})
    return pd.DataFrame(rows)


def point_table(segments: Sequence[SegmentResult]) -> pd.DataFrame:
    """Make one row an alpha and segment: the content of `segments.json`."""
    tables = [
        pd.DataFrame(
            {
                "kind": segment.kind,
                "run_a": segment.run_a,
                "run_b": segment.run_b,
                "alpha": segment.path.alphas,
                **segment.path.values[SPLIT],
            }
        )
        for segment in segments
    ]
    return pd.concat(tables, ignore_index=True)
