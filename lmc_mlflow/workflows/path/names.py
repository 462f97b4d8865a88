"""Names a path: in short for the runs table, and in full for its figures."""

from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.config.train_pair import ELSEWHERE
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.workflows.networks.pair_of_networks import Ends
from lmc_mlflow.workflows.networks.run_names import group_run_name, short_name

KIND_WORDS = {Kind.ALIGNMENT: "aligned", Kind.PRUNED: "pruned", Kind.STAR: "star"}
"""Kind of an end that is no endpoint -> its word in a name."""


def path_run_name(ends: Ends, config: InterpolateConfig, what: str = "") -> str:
    """Name the run of a path, or of what else it is."""
    bn, align = config.path.bn, config.aligning.align
    kinds = dict.fromkeys(KIND_WORDS.get(end.run.data.tags.get(Tag.KIND, ""), "") for end in ends)
    how = " ".join([*filter(None, kinds), *([bn] if bn != "interpolate" else []), *([align] if align != NONE else [])])
    return group_run_name(what, ends, how)


def path_name(ends: Ends, config: InterpolateConfig) -> str:
    """Name a path as a person would."""
    a, b = ends
    model = a.config.model.model
    left, right = (_end_name(end, ends) for end in ends)
    bn, align = config.path.bn, config.aligning.align
    how = ", ".join([*([bn] if bn != "interpolate" else []), *([f"aligned by {align}"] if align != NONE else [])])
    shift = (
        a.config.data.shift
        if a.config.data.shift == b.config.data.shift
        else f"{a.config.data.shift} to {b.config.data.shift}"
    )
    return f"path {a.config.data.dataset} {model} {shift} {left} to {right}" + (f" ({how})" if how else "")


def _end_name(end: LoggedNetwork, ends: Ends) -> str:
    seeds = {e.config.model.seed for e in ends}
    is_ours = all(e.config.optimization.loop != ELSEWHERE for e in ends)
    return end.side if is_ours and len(seeds) == 1 and end is not ends[0] else short_name(end)
