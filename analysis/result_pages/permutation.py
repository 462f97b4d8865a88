"""Tables of permutation.md."""

import pandas as pd

from analysis.result_pages.numbers import Tables, spread
from lmc_mlflow import query
from lmc_mlflow.papers.printed import printed_table

SEGMENTS = {"star_source": "star to source", "star_held_out": "star to held out", "regular": "regular to regular"}
ACCURACIES = ("star", "sources", "held_out", "ensemble")


def permutation_tables() -> Tables:
    """Compute the tables of permutation.md."""
    paths, stars, printed = query.paths(), query.stars(), printed_table("starlight_barriers")
    widths, zoo = [], []
    for width in (4, 16, 64, 256):
        own = paths[(paths["model"] == f"mlp_l1_w{width}") & (paths["align"] == "weights")]
        row = {"width": width, "barrier, not aligned": spread(own["unaligned/test/barrier_over_chord"], 3)}
        row |= {"aligned by weights": spread(own["test/barrier_over_chord"], 3)}
        for head, column in (("connected, not aligned", "connected_unaligned"), ("aligned", "connected")):
            row[head] = f"{(own[column] == 'yes').sum()} of {len(own)}"
        widths.append(row)
        (_, star), *_ = stars[stars["model"] == f"mlp_l1_w{width}"].iterrows()
        row = {"width": width}
        for kind, head in SEGMENTS.items():
            mean, largest = star[f"{kind}/test/barrier_over_chord"], star[f"{kind}/test/barrier_over_chord_max"]
            row[head] = f"{mean:.3f} ({largest:.3f})"
        scores = ", ".join(f"{100 * star[f'accuracy/{name}']:.1f}" for name in ACCURACIES)
        row |= {"accuracy: star, sources, held out, ensemble": f"{scores} %", "a star?": star["star"]}
        theirs = printed[printed["setting"] == f"mlp mnist width {width}"].set_index("pair_type")["barrier_mean"]
        row["theirs: star to held out"] = f"{theirs['star-heldout']:.3f}" if len(theirs) else ""
        row["regular to held out"] = f"{theirs['regular-heldout']:.3f}" if len(theirs) else ""
        zoo.append(row)
    return {"widths": pd.DataFrame(widths), "stars": pd.DataFrame(zoo)}
