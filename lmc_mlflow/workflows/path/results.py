"""What is logged of a walked path: which numbers, curves, table and words?"""

from collections.abc import Mapping

import pandas as pd

from lmc_mlflow import weights
from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.models.parameters import num_parameters, trainable, weight_arrays
from lmc_mlflow.models.registry import build_network
from lmc_mlflow.paths.barriers import summary_keys
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.seeds import derive_seed

Ends = tuple[LoggedNetwork, LoggedNetwork]


def path_metrics(ends: Ends, path: Path) -> dict[str, float]:
    """The numbers of every split and of the ends, under the names they are logged by."""
    metrics = {
        f"{split}/{key}": value
        for split, summary in path.summaries.items()
        for key, value in summary_keys(summary, path.score).items()
    }
    if path.variance_ratio is not None:
        metrics["variance_ratio"] = path.variance_ratio
    return metrics | similarity(*ends)


def path_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Loss and score of every split over round(1000 alpha)."""
    curves = {}
    for split in path.losses:
        for key, values in (("path_loss", path.losses[split]), (f"path_{path.score}", path.scores[split])):
            points = zip(path.alphas, values, strict=True)
            curves[f"{split}/{key}"] = [(round(1000 * alpha), float(value)) for alpha, value in points]
    return curves


def path_table(path: Path) -> pd.DataFrame:
    """One row an alpha and split: the content of `path.json`."""
    tables = [
        pd.DataFrame(
            {
                "alpha": path.alphas,
                "split": split,
                "loss": path.losses[split],
                path.score: path.scores[split],
                "angle_deg": path.angles_deg,
                "manhattan": path.manhattan,
            }
        )
        for split in path.losses
    ]
    return pd.concat(tables, ignore_index=True)


def similarity(a: LoggedNetwork, b: LoggedNetwork) -> dict[str, float]:
    """How far apart two networks are."""
    network = a.network()
    names, kernels = trainable(network), weight_arrays(network)
    manhattan = weights.manhattan(a.state, b.state, names)
    euclidean_squared = weights.euclidean_squared(a.state, b.state, names)
    return {
        "cosine": weights.cosine(a.state, b.state, names),
        "angle_deg": weights.angle_deg(a.state, b.state, names),
        "angle_weights_deg": weights.angle_deg(a.state, b.state, kernels),
        "manhattan": manhattan,
        "manhattan_per_parameter": manhattan / num_parameters(network),
        "euclidean_squared": euclidean_squared,
        "euclidean_squared_per_parameter": euclidean_squared / num_parameters(network),
    }


def similarity_by_tensor(a: LoggedNetwork, b: LoggedNetwork) -> pd.DataFrame:
    """How far apart two networks are in each trained tensor: the content of `similarity.json`.

    Returns:
        Columns tensor, parameters, cosine, angle_deg (None where one of the two is all zeros), manhattan,
        euclidean_squared; in the order of the network.
    """
    rows = []
    for name in trainable(a.network()):
        row = {"tensor": name, "parameters": a.state[name].numel()}
        row |= {key: measure(a.state, b.state, [name]) for key, measure in _MEASURES.items()}
        rows.append({key: None if value != value else value for key, value in row.items()})
    return pd.DataFrame(rows, dtype=object)


_MEASURES = {
    "cosine": weights.cosine,
    "angle_deg": weights.angle_deg,
    "manhattan": weights.manhattan,
    "euclidean_squared": weights.euclidean_squared,
}


def reference_angle(end: LoggedNetwork) -> float:
    """The angle between two random initializations of the network, all trainable parameters, in degrees."""
    random = [build_network(end.spec, derive_seed(0, "reference", i)).state_dict() for i in (0, 1)]
    return weights.angle_deg(random[0], random[1], trainable(end.network()))


def describe_path(
    ends: Ends, config: PathConfig, path: Path, verdicts: tuple[str, str], metrics: Mapping[str, float], note: str = ""
) -> str:
    """The description of a path's run.

    Args:
        ends: as they were logged.
        config: how the path was walked and judged.
        path: the run's.
        verdicts: on it, by loss and accuracy, and by error.
        metrics: as logged.
        note: what else there is to say, after the first sentences.
    """
    split, first = next(iter(path.summaries.items()))
    score = path.score.replace("_", " ")
    rows = "\n".join(
        f"| {name} | {s.barrier:.4f} | {s.barrier_in_basin:.4f} | {s.accuracy_delta:+.2%} | "
        f"{s.min_accuracy_delta:+.2%} "
        f"| {s.alpha_at_barrier:.2f} |"
        for name, s in path.summaries.items()
    )
    return (
        f"**Connected: {verdicts[0]}.** On {split}: barrier {first.barrier:.4f}, in the basin "
        f"{first.barrier_in_basin:.4f}, "
        f"{score} delta {first.accuracy_delta:+.2%} at alpha {first.alpha_at_barrier:.2f}; "
        f"angle {metrics['angle_deg']:.1f} degrees (random initializations {metrics['angle_reference_deg']:.1f})."
        f"{note}\n\n"
        f"| split | barrier | in basin | {score} delta | worst | at alpha |\n|---|---|---|---|---|---|\n{rows}\n\n"
        f"A: `{ends[0].run.info.run_id}`, B: `{ends[1].run.info.run_id}`; batch norm: {config.bn}. "
        f"No if a barrier in the basin exceeds {config.barrier_threshold:g} or the {score} delta falls below "
        f"{config.accuracy_delta_threshold:.0%} on test data; apparent if so on training data alone."
        f" By error (barrier below {config.error_barrier_threshold:g}): {verdicts[1]}."
    )
