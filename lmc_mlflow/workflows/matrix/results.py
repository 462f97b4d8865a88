"""What is logged of the segments between many networks: tables, clusters, figures, and what they say?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.paths.barriers import epsilon, summary_keys
from lmc_mlflow.paths.graph import Barriers, clusters, star_candidate
from lmc_mlflow.paths.measures import MEASURES, SUMMARIZED
from lmc_mlflow.plots.per_run.matrix import matrix_figure
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.matrix.pairs import Survey, Walked


def log_survey(run: TrackedRun, survey: Survey, name: str, num_left_out: int) -> tuple[dict[str, float], str]:
    """Log a survey; its metrics, and the run id of the best star candidate (empty: there is none).

    Args:
        run: of kind `matrix`.
        survey: what was measured.
        name: of the run, over the figure.
        num_left_out: runs that a query found beyond its limit.
    """
    pairs, barriers = pair_table(survey), barrier_matrix(survey)
    groups, candidate = _graph(survey, barriers)
    networks = network_table(survey, barriers, groups)
    ids = [member.run_id for member in survey.members]
    run.log_text(pd.DataFrame(barriers, index=pd.Index(ids, name="run_id"), columns=ids).to_csv(), "matrix.csv")
    run.log_text(pairs.to_csv(index=False), Artifact.MATRIX_PAIRS)
    run.log_text(networks.to_csv(index=False), Artifact.MATRIX_NETWORKS)
    run.log_text(point_table(survey).to_csv(index=False), Artifact.MATRIX_POINTS)
    run.log_json(_clusters_content(survey, groups, candidate), "clusters.json")
    metrics = _metrics(survey, pairs, groups, candidate) | {"num_left_out": num_left_out}
    run.log_metrics(metrics)
    settings = survey.settings
    title = f"{name}\n{settings.barrier.replace('_', ' ')} on {settings.split} data"
    run.log_figure(matrix_figure(pairs, networks, settings.barrier, settings.linkage, title), "figures/matrix.png")
    star = candidate[0] if candidate else ""
    tags = {Tag.STAR_CANDIDATE: star, Tag.CLUSTERS: str(len(groups)), Tag.REFERENCE_RUN: survey.reference}
    run.set_tags({key: value for key, value in tags.items() if value})
    run.describe(_description(survey, metrics, networks, star))
    return metrics, star


def pair_table(survey: Survey) -> pd.DataFrame:
    """One row a pair: the content of `pairs.csv`."""
    return pd.DataFrame([_pair_row(survey, walked) for walked in survey.walked])


def _pair_row(survey: Survey, walked: Walked) -> dict[str, object]:
    path, split = walked.path, survey.settings.split
    losses, values = path.losses[split], path.values[split]
    middle = int(np.flatnonzero(path.alphas == 0.5)[0])
    a, b = survey.members[walked.i], survey.members[walked.j]
    row: dict[str, object] = {"run_a": a.run_id, "run_b": b.run_id}
    row |= {**summary_keys(path.summaries[split], path.score), "epsilon": epsilon(losses)}
    row |= {f"{key}_barrier": MEASURES[key].barrier(values[key]) for key in values if key not in SUMMARIZED}
    for name, index in (("a", 0), ("middle", middle), ("b", -1)):
        row |= {f"{key}_{name}": float(values[key][index]) for key in values}
    lengths = ("distance", "distance_unaligned", "angle_deg", "angle_deg_unaligned")
    row |= {name: getattr(walked, name) for name in lengths}
    limit, constant = survey.settings.limit, a.constant or b.constant
    row["constant"] = constant
    row["connected"] = not constant and bool(_barrier(survey, walked) <= limit)
    row["good_average"] = not constant and bool(losses[middle] - (losses[0] + losses[-1]) / 2 <= limit)
    return row


def _barrier(survey: Survey, walked: Walked) -> float:
    """By the definition that the survey judges by."""
    losses, name = walked.path.losses[survey.settings.split], survey.settings.barrier
    if name == "epsilon":
        return epsilon(losses)
    return float(getattr(walked.path.summaries[survey.settings.split], name))


def barrier_matrix(survey: Survey) -> Barriers:
    """(N, N), symmetric, 0 on the diagonal."""
    found = np.zeros((len(survey.members), len(survey.members)))
    for walked in survey.walked:
        found[walked.i, walked.j] = found[walked.j, walked.i] = _barrier(survey, walked)
    return found


def point_table(survey: Survey) -> pd.DataFrame:
    """One row an alpha and pair: the content of `points.csv`."""
    split, ids = survey.settings.split, [member.run_id for member in survey.members]
    tables = [
        pd.DataFrame(
            {
                "run_a": ids[walked.i],
                "run_b": ids[walked.j],
                "alpha": walked.path.alphas,
                **walked.path.values[split],
            }
        )
        for walked in survey.walked
    ]
    return pd.concat(tables, ignore_index=True)


Groups = list[tuple[int, ...]]
Candidate = tuple[str, float] | None


def _eligible(survey: Survey) -> list[int]:
    return [i for i, member in enumerate(survey.members) if not member.constant]


def _graph(survey: Survey, barriers: Barriers) -> tuple[Groups, Candidate]:
    """Clusters at the threshold and the best star candidate, networks at chance level left out of both."""
    groups = clusters(barriers, survey.settings.limit, _eligible(survey))
    found = star_candidate(barriers, _eligible(survey))
    return groups, None if found is None else (survey.members[found[0]].run_id, found[1])


def network_table(survey: Survey, barriers: Barriers, groups: Groups) -> pd.DataFrame:
    """One row a network: the content of `networks.csv`. Barriers are those to the others that are not constant."""
    cluster = {i: number for number, group in enumerate(groups, start=1) for i in group}
    eligible = _eligible(survey)
    rows = []
    for i, member in enumerate(survey.members):
        others = barriers[i, [j for j in eligible if j != i]]
        known = len(others) > 0 and not member.constant
        row = {"network": member.run_id, "label": member.label, "test_loss": member.loss}
        row |= {f"test_{survey.score}": member.score, "constant": member.constant, "cluster": cluster.get(i, 0)}
        row |= {
            "mean_barrier": others.mean() if known else np.nan,
            "largest_barrier": others.max() if known else np.nan,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _clusters_content(survey: Survey, groups: Groups, candidate: Candidate) -> Mapping[str, object]:
    return {
        "barrier": survey.settings.barrier,
        "split": survey.settings.split,
        "threshold": survey.settings.limit,
        "clusters": [[survey.members[i].run_id for i in group] for group in groups],
        "star_candidate": None if candidate is None else {"run_id": candidate[0], "largest_barrier": candidate[1]},
        "constant": [member.run_id for member in survey.members if member.constant],
    }


def _metrics(survey: Survey, pairs: pd.DataFrame, groups: Groups, candidate: Candidate) -> dict[str, float]:
    counting = pairs[~pairs["constant"]]
    found: dict[str, float] = {
        "num_runs": len(survey.members),
        "num_constant": sum(member.constant for member in survey.members),
        "num_pairs": len(counting),
        "num_clusters": len(groups),
        "num_unsettled": survey.num_unsettled,
    }
    if candidate is not None:
        found["star_candidate_barrier"] = candidate[1]
    if len(counting):
        chosen = counting[survey.settings.barrier]
        found |= {"mean_barrier": chosen.mean(), "median_barrier": chosen.median(), "max_barrier": chosen.max()}
        found |= {f"share_{name}": counting[name].mean() for name in ("connected", "good_average")}
        found["share_agreeing"] = (counting["connected"] == counting["good_average"]).mean()
        names = ("barrier", "barrier_over_chord", "barrier_in_basin", "error_barrier", "epsilon", "angle_deg")
        found |= {f"mean/{name}": counting[name].mean() for name in names}
        found["largest_cluster"] = len(groups[0])
    return {key: float(value) for key, value in found.items()}


def _description(survey: Survey, metrics: dict[str, float], networks: pd.DataFrame, star: str) -> str:
    settings, num_constant = survey.settings, int(metrics["num_constant"])
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
    if survey.num_unsettled:
        lines.append(f"{survey.num_unsettled} matchings had not settled: give a higher `max_sweeps`.")
    lines.append(
        f"A barrier up to {settings.limit:g} on {settings.split} data connects; {_how(survey)}; batch norm: "
        f"{settings.bn}."
    )
    return "\n\n".join(lines)


def _how(survey: Survey) -> str:
    if survey.settings.align == "none":
        return "nothing is aligned"
    if survey.reference:
        return f"all are aligned by {survey.settings.align} towards `{survey.reference}`"
    return f"in each pair the later network is aligned by {survey.settings.align} towards the earlier"
