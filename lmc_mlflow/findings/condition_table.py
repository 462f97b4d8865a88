"""The table of conditions: mean and deviation of every measure over seeds, for one batch-norm policy."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from lmc_mlflow.config.train_pair import OUR_LOOP
from lmc_mlflow.findings.conditions import CONDITIONS, PLAIN, has_learnt, per_seed, plain_rows
from lmc_mlflow.findings.pair_measures import PAIR_MEASURES, with_pair_measures
from lmc_mlflow.findings.starts import has_start
from lmc_mlflow.models.families import has_batch_norm

POLICIES = ("interpolate", "recalibrate", "nearest")
"""What is done with batch norm's running statistics on a path, as the papers' tables are judged; the first stands for
the rest where one answer is shown."""
KEYS = tuple(
    name
    for name in CONDITIONS
    if name not in ("same_initialization", "sides", "engine", *PLAIN, "sampling", "num_members")
)
"""Settings that make a condition. Engines make none: their networks differ by rounding alone."""
_FLIPPED = ("cifar10", "cifar100")
MEASURES = (
    *("barrier", "in_basin", "delta", "angle", "angle_weights", "reference", "train_barrier", "overfit"),
    *PAIR_MEASURES,
)
"""Numbers of a condition; each has its deviation over seeds beside it."""


def with_deviations(measures: Sequence[str]) -> list[str]:
    """List these measures, each followed by its deviation `<measure>_sd`."""
    return [name for measure in measures for name in (measure, f"{measure}_sd")]


COLUMNS = [*KEYS, "condition", "n", *with_deviations(MEASURES), "holds", "apparent", "score", "learnt", "run_ids"]
"""The columns of `conditions`."""


def _no_rows() -> pd.DataFrame:
    return pd.DataFrame(columns=["run_id", "dataset", "model"])


@dataclass(frozen=True)
class Frames:
    """The tables of `query` that a report is made from; paths that no paper has stand in a table of their own.

    Attributes:
        other_paths: those with exchanged units, and curves.
        left_out: kind -> run ids of those that are in no table, because their networks are gone.
        parted: all paths, also of pairs with a starting point, which the papers' tables have not.
        curvatures: as read.
        pruned: networks without their redundant units.
    """

    pairs: pd.DataFrame
    endpoints: pd.DataFrame
    paths: pd.DataFrame
    ensembles: pd.DataFrame
    stars: pd.DataFrame = field(default_factory=_no_rows)
    other_paths: pd.DataFrame = field(default_factory=_no_rows)
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parted: pd.DataFrame = field(default_factory=_no_rows)
    curvatures: pd.DataFrame = field(default_factory=_no_rows)
    pruned: pd.DataFrame = field(default_factory=_no_rows)

    def tables(self) -> tuple[pd.DataFrame, ...]:
        """Return all tables."""
        return self.pairs, self.endpoints, self.paths, self.ensembles, self.stars, self.other_paths

    @functools.cached_property
    def measured_paths(self) -> pd.DataFrame:
        """Join what the pairs log to the paths, once."""
        if "pair" not in self.paths:
            return self.paths
        return with_pair_measures(self.paths, self.pairs, self.endpoints)

    @functools.cached_property
    def conditions(self) -> dict[str, pd.DataFrame]:
        """Compute the `conditions` of the paths for each batch-norm policy, once."""
        return {policy: conditions(self.measured_paths, policy) for policy in POLICIES}


def prepare(frames: Frames, stand_ins: Mapping[str, str], every_run: bool = False) -> Frames:
    """Sort the rows by run id, give equal settings equal texts, and leave out what others than our loop have trained.

    Pairs with a starting point are in `parted` alone, unless `every_run` is set: those of the papers start at random.

    `auto` is replaced by what it stands for. The name of a data set or a network is replaced by the paper's name that
    it stands in for; rows that have that name in the store are left out, so that no cell mixes the two.

    Args:
        frames: as read.
        stand_ins: name of a data set or network in the store -> name in the paper, as in imagefolder -> cifar10.
        every_run: whether pairs with a starting point, and networks of other loops than ours, are in every table.
    """

    def prepare_table(frame: pd.DataFrame, keep: bool = every_run) -> pd.DataFrame:
        frame = frame if keep else frame[~has_start(frame)]
        frame = frame.sort_values("run_id", ignore_index=True)
        if "loop" in frame and not every_run:
            frame = frame[frame["loop"] == OUR_LOOP].reset_index(drop=True)
        frame = without_auto(frame)
        for column in ("dataset", "model"):
            replaced = frame[column].isin(stand_ins.values())
            frame = frame[~replaced].reset_index(drop=True)
            frame[column] = frame[column].replace(dict(stand_ins))
        # One block of objects: rows are taken out of it at once, out of columns of strings one by one.
        return frame.astype(dict.fromkeys(frame.select_dtypes("string"), object)).copy()

    pairs, endpoints, paths, ensembles, stars, other_paths = map(prepare_table, frames.tables())
    parted = prepare_table(frames.paths, keep=True)
    pruned = prepare_table(frames.pruned)
    rest = frames.left_out, parted, frames.curvatures, pruned
    return Frames(pairs, endpoints, paths, ensembles, stars, other_paths, *rest)


def without_auto(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace `auto` in settings of the data by what it stands for, so that equal trainings have equal settings."""
    if frame.empty or "dataset" not in frame:
        return frame
    big_earth = (frame["dataset"] == "bigearthnet").map({True: "random80", False: "official"})
    usual = {"augmentation": usual_augmentation(frame["dataset"]), "test_split": big_earth}
    named = {name: values for name, values in usual.items() if name in frame}
    return frame.assign(**{name: frame[name].where(frame[name] != "auto", values) for name, values in named.items()})


def usual_augmentation(datasets: "pd.Series[Any]") -> "pd.Series[Any]":
    """Tell what `augmentation=auto` is for each data set."""
    return datasets.isin(_FLIPPED).map({True: "flip", False: "none"})


def within_pairs(paths: pd.DataFrame) -> pd.DataFrame:
    """Select the plain paths (`conditions.plain_rows`) between the two sides of one pair of one initialization."""
    wanted = {"pair", "same_initialization", "side_a", "side_b"}
    if not wanted <= set(paths):
        return paths.iloc[:0]
    paths = plain_rows(paths)
    inside = (paths["pair"] != "") & paths["same_initialization"].astype(bool) & (paths["side_a"] != paths["side_b"])
    return paths[inside]


def conditions(paths: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Compute one row for each condition, from paths within pairs.

    Runs of one seed are averaged first. A network without batch norm has the same path under every policy.

    Args:
        paths: as `Frames.measured_paths` has them.
        policy: one of `POLICIES`.

    Returns:
        Columns `KEYS`, condition (all of them as one text), n (seeds), each of barrier, in_basin, delta
        (percentage points), angle, angle_weights, reference, train_barrier (the higher of both training
        sides' in-basin barriers), overfit (mean training minus mean test accuracy of the ends,
        percentage points) and `PAIR_MEASURES` with its sample deviation `<name>_sd` (NaN where it is not known),
        holds (share of seeds without a break on test data), apparent, score, learnt (`conditions.has_learnt`),
        run_ids.
    """
    rows = with_columns(within_pairs(paths), KEYS)
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    usable = (rows["bn"] == policy) | ~rows["model"].map(has_batch_norm)
    rows = _with_measures(rows[usable])
    rows = rows.assign(condition=condition_texts(rows))
    found = summarize(rows, "score", (*MEASURES, "holds", "apparent"))
    return found.assign(learnt=has_learnt(found.assign(share=found["accuracy"] / 100), "share"))[COLUMNS]


def summarize(rows: pd.DataFrame, beside: str, measures: Sequence[str]) -> pd.DataFrame:
    """Compute mean and sample deviation of measures over the seeds of each condition.

    Args:
        rows: one row a path, with column `condition`.
        beside: a further column that all paths of a condition share.
        measures: columns; the first of them tells the number of seeds n.

    Returns:
        One row a condition: condition, `KEYS`, the column beside, run_ids, n, each measure with `<measure>_sd`.
    """
    found = rows.drop_duplicates("condition").set_index("condition").sort_index()[[*KEYS, beside]]
    found["run_ids"] = rows.groupby("condition")["run_id"].agg(tuple)
    for name in measures:
        values = per_seed(rows, name, ("condition",)).dropna().groupby(level="condition")
        found[name], found[f"{name}_sd"] = values.mean(), values.std(ddof=1)
        if name == measures[0]:
            found["n"] = values.count()
    return found.assign(n=found["n"].fillna(0).astype(int)).reset_index()


def with_columns(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Add those of these columns that are missing, filled with empty text."""
    return frame.assign(**{name: "" for name in names if name not in frame})


def condition_texts(rows: pd.DataFrame) -> "pd.Series[str]":
    """Write all keys of each row as one text: two rows of one condition have equal texts."""
    if rows.empty:
        return pd.Series(dtype=str)
    columns = [rows[name].map(key_text) for name in KEYS]
    return pd.Series(["|".join(texts) for texts in zip(*columns, strict=True)], index=rows.index)


def key_text(value: Any) -> str:
    """Write a setting as text: the same for 32 and 32.0, empty for what is unset or unknown."""
    if value is None or value != value:
        return ""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.12g}" if number else str(value)


def _with_measures(rows: pd.DataFrame) -> pd.DataFrame:
    def column(name: str) -> Any:
        return rows[name] if name in rows else float("nan")

    delta, score = column("test/accuracy_delta"), pd.Series("accuracy", index=rows.index)
    if "test/average_precision_delta" in rows:
        several = rows["test/average_precision_delta"].notna()
        score = score.mask(several, "average precision")
        delta = rows["test/average_precision_delta"].where(several, delta)
    sides = [name for name in ("train_a/barrier_in_basin", "train_b/barrier_in_basin") if name in rows]
    verdict = column("connected")
    rows = rows.assign(**{name: float("nan") for name in PAIR_MEASURES if name not in rows})
    return rows.assign(
        barrier=column("test/barrier"),
        in_basin=column("test/barrier_in_basin"),
        delta=100 * delta,
        angle=column("angle_deg"),
        angle_weights=column("angle_weights_deg"),
        reference=column("angle_reference_deg"),
        train_barrier=rows[sides].max(axis=1) if sides else float("nan"),
        overfit=100 * column("overfit"),
        holds=(verdict != "no").astype(float),
        apparent=(verdict == "apparent").astype(float),
        score=score,
    )


def with_overfitting(frames: Frames) -> Frames:
    """Add column `overfit` to the paths: mean training minus mean test accuracy of the pair's networks."""
    pairs = frames.pairs
    if frames.paths.empty or not {"train/accuracy", "test/accuracy"} <= set(pairs):
        return frames
    gap = pairs.set_index("run_id")["train/accuracy"] - pairs.set_index("run_id")["test/accuracy"]
    return replace(frames, paths=frames.paths.assign(overfit=frames.paths["pair"].map(gap)))
