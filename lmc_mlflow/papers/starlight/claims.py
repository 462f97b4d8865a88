"""Claims of Sonthalia et al. on star domains, judged on logged stars and on the published barriers."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.comparisons import describe_condition
from lmc_mlflow.findings.condition_table import KEYS, condition_texts, key_text, with_columns
from lmc_mlflow.findings.differences import Sample, contrast_of, mean_of, mean_text
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.thresholds import NEGLIGIBLE
from lmc_mlflow.papers.printed import printed_table

REGULAR, HELD_OUT = "regular/test/barrier_over_chord", "star_held_out/test/barrier_over_chord"
"""Metrics of a star: mean barrier over the chord between regular networks, and from the star to networks held out."""
SETTINGS = {("cifar10", "vgg11"): "vgg11 cifar10", ("cifar10", "vgg19"): "vgg19 cifar10"}
"""Data set and network -> published setting of the same two."""
MARGIN = NEGLIGIBLE["barrier"]
NEED = (
    f"two stars of one condition that share no network: `{RUN} star -P sources=<run id>,<run id>,<run id> -P "
    "held_out=<run id>,<run id>`, and again over other networks"
)


def stars_lower_the_barrier(tables: ConditionTables) -> Evidence:
    """Collect evidence that a star has lower barriers to held-out networks than those have to one another.

    Stars that share a network are one value, however many segments they have: all are barriers of the same networks.
    Published values without a deviation or a number of pairs decide nothing.
    """
    evidence = Evidence()
    if tables.frames is None:
        _add_published(evidence)
        return evidence
    for label, part in _conditions(tables.frames.stars):
        means = part.groupby(sets_of_networks(part))[[REGULAR, HELD_OUT]].mean()
        found = mean_of(means[REGULAR] - means[HELD_OUT])
        regular, held_out = (mean_text(means[name], 3, " nats", "independent star") for name in (REGULAR, HELD_OUT))
        text = f"{label}: between regular networks {regular}, to the star {held_out}; "
        text += f"lower by {found.text(3)}, margin {MARGIN:g}"
        evidence.add(found.direction(MARGIN), text + _published_beside(part.iloc[0]), part["run_id"])
    return evidence


def _conditions(stars: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the stars of each condition and number of sources, in words and as rows."""
    if not {REGULAR, HELD_OUT} <= set(stars):
        return
    rows = with_columns(stars, (*KEYS, "num_sources", "sources", "held_out"))
    rows = rows[rows[REGULAR].notna() & rows[HELD_OUT].notna()]
    if rows.empty:
        return
    rows = rows.assign(condition=condition_texts(rows) + "|" + rows["num_sources"].map(key_text))
    for _, part in rows.groupby("condition", sort=True):
        first = part.iloc[0]
        yield f"{describe_condition(first)}, star of {key_text(first['num_sources'])} networks", part


def sets_of_networks(stars: pd.DataFrame) -> "pd.Series[str]":
    """Name the set of networks of each star; stars that share a network, or are linked by others that do, have one.

    Args:
        stars: from `query.stars`.
    """
    from scipy.cluster.hierarchy import DisjointSet  # a slow import that few commands need

    of_star = [f"{sources},{held_out}".split(",") for sources, held_out in stars[["sources", "held_out"]].values]
    sets = DisjointSet(name for names in of_star for name in names)
    for names in of_star:
        for name in names[1:]:
            sets.merge(names[0], name)
    return pd.Series([sets[names[0]] for names in of_star], stars.index)


def _published_beside(row: Any) -> str:
    setting = SETTINGS.get((row["dataset"], row["model"]))
    if setting is None:
        return "; no published value for this data set and network"
    values = dict(_published())[setting]
    return f"; published: {_numbers(values['regular-heldout'])} and {_numbers(values['star-heldout'])}"


def _published() -> Iterator[tuple[str, dict[str, Sample]]]:
    """Yield each published setting with its barriers by kind of segment; n is 0 where it is not given."""
    for setting, part in printed_table("starlight_barriers").groupby("setting", sort=False):
        rows = part.fillna({"n": 0}).to_dict("records")
        yield str(setting), {row["pair_type"]: _sample(row) for row in rows}


def _sample(row: Mapping[Any, Any]) -> Sample:
    return Sample(row["barrier_mean"], row["barrier_std"], int(row["n"]))


def _add_published(evidence: Evidence) -> None:
    for setting, values in _published():
        samples = values["regular-heldout"], values["star-heldout"]
        found = contrast_of((1, -1), samples)
        text = f"{setting}: between regular networks {_numbers(samples[0])}, to the star {_numbers(samples[1])}"
        way = found.direction(MARGIN)
        if way is None:
            evidence.mention(f"{text}; no deviation or no number of pairs is given", ())
        evidence.add(way, f"{text}; lower by {found.text(3)}, margin {MARGIN:g}", ())


def _numbers(sample: Sample) -> str:
    deviation = "" if sample.deviation != sample.deviation else f" ± {sample.deviation:.3f}"
    return f"{sample.mean:.3f}{deviation} nats (n = {sample.n or 'not given'})"


STARLIGHT_CLAIMS = (
    Claim(
        "S-10",
        "A star has lower barriers to networks that it never saw than these networks have to one another",
        stars_lower_the_barrier,
        NEED,
    ),
)
