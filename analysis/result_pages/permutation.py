"""The page permutation.md: barriers by width, with and without alignment, and stars."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import interval, number, of, spread
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow import plots, query
from lmc_mlflow.papers.printed import printed_table
from lmc_mlflow.papers.starlight.claims import sets_of_networks

SEGMENTS = {"star_source": "star to source", "star_held_out": "star to held out", "regular": "regular to regular"}
ACCURACIES = ("star", "sources", "held_out", "ensemble")
WIDTHS = (4, 16, 64, 256)
BARRIER = "test/barrier_over_chord"


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of permutation.md."""
    paths, stars = runs.paths[runs.paths["align"] == "weights"], runs.table(query.stars)
    return {
        "answer": f"{_answer(paths)} {_told_of(stars)}",
        "widths": _widths(paths),
        "stars": _stars(stars),
        "verdicts": runs.verdicts("S-10"),
    }


def _of_width(table: pd.DataFrame, width: int) -> pd.DataFrame:
    return table[table["model"] == f"mlp_l1_w{width}"]


def _answer(paths: pd.DataFrame) -> str:
    wide, narrow = _of_width(paths, WIDTHS[-1]), _of_width(paths, WIDTHS[0])
    connected = {width: _of_width(paths, width)["connected"] for width in WIDTHS}
    told = ", ".join(f"{of((found == 'yes').sum(), len(found))} at width {width}" for width, found in connected.items())
    before = of((paths["connected_unaligned"] == "yes").sum(), len(paths))
    unaligned = f"unaligned/{BARRIER}"
    return (
        "**Weight matching connects wide networks and not narrow ones: of pairs with one hidden layer on MNIST it "
        f"connects {told}; without it {before} are connected.** At width {WIDTHS[-1]} it takes the barrier from "
        f"{interval(wide[unaligned], 3)} to {interval(wide[BARRIER], 3)} nats, at width {WIDTHS[0]} from "
        f"{interval(narrow[unaligned], 2)} to {interval(narrow[BARRIER], 2)}."
    )


def _told_of(stars: pd.DataFrame) -> str:
    counts = {width: _of_width(stars, width)["star"] == "yes" for width in WIDTHS}
    told = ", ".join(f"{of(found.sum(), len(found))} at width {width}" for width, found in counts.items())
    return f"One network trained to be connected to five others, a star, is connected to five more in {told}."


def _widths(paths: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for width in WIDTHS:
        own = _of_width(paths, width)
        row = {"width": width, "barrier, not aligned (nats)": spread(own[f"unaligned/{BARRIER}"], 3)}
        row |= {"barrier, aligned (nats)": spread(own[BARRIER], 3)}
        for head, column in (("connected, not aligned", "connected_unaligned"), ("connected, aligned", "connected")):
            row[head] = of((own[column] == "yes").sum(), len(own))
        rows.append(row)
    return pd.DataFrame(rows)


def _stars(stars: pd.DataFrame) -> pd.DataFrame:
    printed = printed_table("starlight_barriers")
    rows = []
    for width in WIDTHS:
        theirs = printed[printed["setting"] == f"mlp mnist width {width}"].set_index("pair_type")["barrier_mean"]
        own = _of_width(stars, width)
        sets = own.groupby(sets_of_networks(own)).mean(numeric_only=True)
        row = {"width": width, "stars": len(own), "sets of networks": len(sets)}
        for kind, head in SEGMENTS.items():
            worst = own[f"{kind}/{BARRIER}_max"].max()
            row[f"{head} (nats)"] = f"{spread(sets[f'{kind}/{BARRIER}'], 3)} ({number(worst, 3)})"
        scores = ", ".join(number(100 * own[f"accuracy/{name}"].mean(), 1) for name in ACCURACIES)
        row |= {"accuracy: star, sources, held out, ensemble": f"{scores} %"}
        row |= {"a star?": of((own["star"] == "yes").sum(), len(own))}
        row["Sonthalia et al.: star to held out"] = f"{theirs['star-heldout']:.3f}" if len(theirs) else ""
        row["Sonthalia et al.: regular to held out"] = f"{theirs['regular-heldout']:.3f}" if len(theirs) else ""
        rows.append(row)
    return pd.DataFrame(rows)


def _figure(runs: ShippedRuns) -> Figure:
    return plots.aligned_by_width(runs.paths)


FIGURES = {"results_permutation.png": _figure}
