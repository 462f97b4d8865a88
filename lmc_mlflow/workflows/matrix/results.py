"""Logs a matrix: tables of pairs, networks and points, clusters, figure and description."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lmc_mlflow.contract import HEADLINE, Artifact, Tag
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.paths.barriers import epsilon, summary_keys
from lmc_mlflow.paths.graph import Barriers, clusters, star_candidate
from lmc_mlflow.paths.measures import MEASURES, SUMMARIZED
from lmc_mlflow.plots.per_run.matrix import matrix_figure
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.matrix.pairs import MatrixMeasurement, PairMeasurement


def log_matrix(
    run: TrackedRun, measured: MatrixMeasurement, name: str, num_left_out: int
) -> tuple[dict[str, float], str]:
    """Log a matrix; give its metrics, and the run id of the best star candidate (empty: there is none).

    Args:
        run: of kind `matrix`.
        measured: what was measured.
        name: of the run, over the figure.
        num_left_out: runs that a query found beyond its limit.
    """
    pairs, barriers = pair_table(measured), barrier_matrix(measured)
    groups, candidate = _graph(measured, barriers)
    networks = network_table(measured, barriers, groups)
    ids = [member.run_id for member in measured.members]
    run.log_text(pd.DataFrame(barriers, index=pd.Index(ids, name="run_id"), columns=ids).to_csv(), "matrix.csv")
    run.log_text(pairs.to_csv(index=False), Artifact.MATRIX_PAIRS)
    run.log_text(networks.to_csv(index=False), Artifact.MATRIX_NETWORKS)
    run.log_text(point_table(measured).to_csv(index=False), Artifact.MATRIX_POINTS)
    run.log_json(_clusters_content(measured, groups, candidate), "clusters.json")
    metrics = _metrics(measured, pairs, groups, candidate) | {"num_left_out": num_left_out}
    run.log_once(metrics)
    settings = measured.settings
    title = f"{name}\n{settings.barrier.replace('_', ' ')} on {settings.split} data"
    figure = matrix_figure(pairs, networks, settings.barrier, settings.linkage, title, settings.limit)
    run.log_figure(figure, "figures/matrix.png")
    star = candidate[0] if candidate else ""
    tags = {Tag.STAR_CANDIDATE: star, Tag.CLUSTERS: str(len(groups)), Tag.REFERENCE_RUN: measured.reference}
    run.set_tags({key: value for key, value in tags.items() if value})
    run.describe(_description(measured, metrics, networks, star))
    return metrics, star


def pair_table(measured: MatrixMeasurement) -> pd.DataFrame:
    """Make the content of `pairs.csv`: one row a pair."""
    return pd.DataFrame([_pair_row(measured, pair) for pair in measured.pairs])


def _pair_row(measured: MatrixMeasurement, pair: PairMeasurement) -> dict[str, object]:
    path, split = pair.path, measured.split
    losses, values = path.losses[split], path.values[split]
    middle = int(np.flatnonzero(path.alphas == 0.5)[0])
    a, b = measured.members[pair.i], measured.members[pair.j]
    row: dict[str, object] = {"run_a": a.run_id, "run_b": b.run_id}
    row |= {**summary_keys(path.summaries[split], path.score), "epsilon": epsilon(losses)}
    row |= {f"{key}_barrier": MEASURES[key].barrier(values[key]) for key in values if key not in SUMMARIZED}
    for name, index in (("a", 0), ("middle", middle), ("b", -1)):
        row |= {f"{key}_{name}": float(values[key][index]) for key in values}
    lengths = ("distance", "distance_unaligned", "angle_deg", "angle_deg_unaligned")
    row |= {name: getattr(pair, name) for name in lengths}
    limit, constant = measured.settings.limit, a.constant or b.constant
    row["constant"] = constant
    row["connected"] = not constant and bool(_barrier(measured, pair) <= limit)
    row["good_average"] = not constant and bool(losses[middle] - (losses[0] + losses[-1]) / 2 <= limit)
    return row


def _barrier(measured: MatrixMeasurement, pair: PairMeasurement) -> float:
    """Give the barrier of a pair by the definition that the configuration names."""
    losses, name = pair.path.losses[measured.split], measured.settings.barrier
    if name == "epsilon":
        return epsilon(losses)
    return float(getattr(pair.path.summaries[measured.split], name))


def barrier_matrix(measured: MatrixMeasurement) -> Barriers:
    """Arrange the barriers of all pairs as (N, N), symmetric, 0 on the diagonal."""
    found = np.zeros((len(measured.members), len(measured.members)))
    for pair in measured.pairs:
        found[pair.i, pair.j] = found[pair.j, pair.i] = _barrier(measured, pair)
    return found


def point_table(measured: MatrixMeasurement) -> pd.DataFrame:
    """Make the content of `points.csv`: one row an alpha and pair."""
    split, ids = measured.split, [member.run_id for member in measured.members]
    tables = [
        pd.DataFrame(
            {
                "run_a": ids[pair.i],
                "run_b": ids[pair.j],
                "alpha": pair.path.alphas,
                **pair.path.values[split],
            }
        )
        for pair in measured.pairs
    ]
    return pd.concat(tables, ignore_index=True)


Groups = list[tuple[int, ...]]
Candidate = tuple[str, float] | None


def _eligible(measured: MatrixMeasurement) -> list[int]:
    return [i for i, member in enumerate(measured.members) if not member.constant]


def _graph(measured: MatrixMeasurement, barriers: Barriers) -> tuple[Groups, Candidate]:
    """Find the clusters at the threshold and the best star candidate, networks at chance level left out of both."""
    groups = clusters(barriers, measured.settings.limit, _eligible(measured))
    found = star_candidate(barriers, _eligible(measured))
    return groups, None if found is None else (measured.members[found[0]].run_id, found[1])


def network_table(measured: MatrixMeasurement, barriers: Barriers, groups: Groups) -> pd.DataFrame:
    """Make the content of `networks.csv`: one row a network, with its barriers to the others that are not constant."""
    cluster = {i: number for number, group in enumerate(groups, start=1) for i in group}
    eligible = _eligible(measured)
    rows = []
    for i, member in enumerate(measured.members):
        others = barriers[i, [j for j in eligible if j != i]]
        known = len(others) > 0 and not member.constant
        row = {"network": member.run_id, "label": member.label, "test_loss": member.loss}
        row |= {f"test_{measured.score}": member.score, "constant": member.constant, "cluster": cluster.get(i, 0)}
        row |= {
            "mean_barrier": others.mean() if known else np.nan,
            "largest_barrier": others.max() if known else np.nan,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _clusters_content(measured: MatrixMeasurement, groups: Groups, candidate: Candidate) -> Mapping[str, object]:
    return {
        "barrier": measured.settings.barrier,
        "split": measured.settings.split,
        "threshold": measured.settings.limit,
        "clusters": [[measured.members[i].run_id for i in group] for group in groups],
        "star_candidate": None if candidate is None else {"run_id": candidate[0], "largest_barrier": candidate[1]},
        "constant": [member.run_id for member in measured.members if member.constant],
    }


def _metrics(
    measured: MatrixMeasurement, pairs: pd.DataFrame, groups: Groups, candidate: Candidate
) -> dict[str, float]:
    counting = pairs[~pairs["constant"]]
    found: dict[str, float] = {
        "num_runs": len(measured.members),
        "threshold": measured.settings.limit,
        "num_constant": sum(member.constant for member in measured.members),
        "num_pairs": len(counting),
        "num_clusters": len(groups),
        "num_unsettled": measured.num_unsettled,
    }
    if candidate is not None:
        found["star_candidate_barrier"] = candidate[1]
    if len(counting):
        chosen = counting[measured.settings.barrier]
        found |= {"mean_barrier": chosen.mean(), "median_barrier": chosen.median(), "max_barrier": chosen.max()}
        found |= {f"share_{name}": counting[name].mean() for name in ("connected", "good_average")}
        found["share_agreeing"] = (counting["connected"] == counting["good_average"]).mean()
        names = ("barrier", "barrier_over_chord", "barrier_in_basin", "error_barrier", "epsilon", "angle_deg")
        found |= {f"mean/{name}": counting[name].mean() for name in names}
        found["largest_cluster"] = len(groups[0])
        found[HEADLINE] = found["share_connected"]
    return {key: float(value) for key, value in found.items()}


def _description(measured: MatrixMeasurement, metrics: dict[str, float], networks: pd.DataFrame, star: str) -> str:
    settings, num_constant = measured.settings, int(metrics["num_constant"])
    number = int(metrics["num_clusters"])
    lines = []
    if metrics["num_pairs"]:
        lines.append(
            f"**{metrics['share_connected']:.0%} of {counted(int(metrics['num_pairs']), 'pair')} connected**, in "
            f"{counted(number, 'cluster')}; {settings.barrier} mean {metrics['mean_barrier']:.4f}, median "
            f"{metrics['median_barrier']:.4f}, largest {metrics['max_barrier']:.4f}. The midpoint is as good as the "
            f"ends in {metrics['share_good_average']:.0%}."
        )
    else:
        lines.append("**No verdict**: fewer than two networks do better than naming the largest class.")
    if star:
        lines.append(
            f"Best star candidate: `{star}`, whose largest barrier is {metrics['star_candidate_barrier']:.4f}."
        )
    if num_constant:
        labels = ", ".join(networks.loc[networks["constant"], "label"])
        lines.append(
            f"**{num_constant} of {len(networks)} networks do no better than naming the largest class** ({labels}): "
            "they are connected to whatever predicts the same, and are left out of verdicts and clusters."
        )
    if metrics["num_left_out"]:
        lines.append(f"**{int(metrics['num_left_out'])} runs that the query finds are left out**: see `max_runs`.")
    if measured.num_unsettled:
        lines.append(f"{measured.num_unsettled} matchings had not settled: give a higher `max_sweeps`.")
    lines.append(
        f"A barrier up to {settings.limit:g} on {settings.split} data connects; {_how(measured)}; batch norm: "
        f"{settings.bn}."
    )
    return "\n\n".join(lines)


def _how(measured: MatrixMeasurement) -> str:
    if measured.settings.align == "none":
        return "nothing is aligned"
    if measured.reference:
        return f"all are aligned by {measured.settings.align} towards `{measured.reference}`"
    return f"in each pair the later network is aligned by {measured.settings.align} towards the earlier"
