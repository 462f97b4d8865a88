"""Which points of a star's segments are the members of an ensemble (Sonthalia et al., section 5)?"""

import dataclasses

import torch
from tqdm import tqdm

from lmc_mlflow.alignment import derive_symmetry, permute
from lmc_mlflow.config.ensemble_and_prune import MembersConfig
from lmc_mlflow.config.star import SegmentsConfig
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.query.star_sources import load_star_sources
from lmc_mlflow.star.segments import draw_points
from lmc_mlflow.tracking.store import Store


def draw_members(
    store: Store, config: MembersConfig
) -> tuple[tuple[LoggedNetwork, ...], tuple[float, ...], tuple[int, ...]]:
    """The star with its sources as they are aligned to it, and of each member its t and the number of its source.

    A source is drawn, all equally likely, then t from the uniform distribution.

    Raises:
        ValueError: no finished star, or a source cannot be used.
    """
    star = load_network(store.client, config.star)
    ids, permutations = load_star_sources(store.client, star.run.info.run_id)
    network = star.network()
    images = torch.zeros(2, star.spec.channels, star.spec.height, star.spec.width)
    symmetry = derive_symmetry(network, images) if any(permutations) else None
    sources = []
    for run_id, order in zip(tqdm(ids, desc="loading sources", leave=False, disable=None), permutations, strict=True):
        source = load_network(store.client, run_id)
        if symmetry is not None:
            source = dataclasses.replace(source, state=permute(symmetry, source.state, order))
        sources.append(source)
    points = draw_points(SegmentsConfig(), len(sources), config.num_samples, config.samples_seed, "sample")
    return (star, *sources), tuple(t for _, t in points), tuple(1 + i for i, _ in points)
