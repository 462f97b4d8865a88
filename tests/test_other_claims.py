"""Claims of Starlight and of the permutation slides are judged on stars and networks, with printed values beside."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from paper_frames import SETTINGS, frames, runs

from lmc_mlflow.findings.condition_table import Frames, prepare
from lmc_mlflow.findings.evidence import Verdict
from lmc_mlflow.papers.claims import CLAIMS, judge_all
from lmc_mlflow.papers.permutation.claims import PERMUTATION_CLAIMS
from lmc_mlflow.papers.starlight.claims import HELD_OUT, REGULAR, STARLIGHT_CLAIMS
from lmc_mlflow.papers.starlight.costs_table import star_costs

STAR = SETTINGS | {"model": "vgg11", "shift": "none", "num_sources": 5, "seed": 1, REGULAR: 0.3, HELD_OUT: 0.1}
NETWORK = SETTINGS | {"dataset": "mnist", "shift": "none", "init": "different", "seed": 1, "test/loss": 0.1}


def judged(name: str, found: Frames, policy: str = "interpolate") -> Verdict:
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    return judge_all(found, 2, [claim])[name][policy]


def stars(*rows: dict[str, Any]) -> Frames:
    none = frames()
    made = runs(STAR, *rows)
    return prepare(Frames(none.pairs, none.endpoints, none.paths, none.ensembles, made), {})


def networks(*accuracies: tuple[int, float]) -> Frames:
    none = frames()
    rows = [{"model": f"mlp_l1_w{width}", "test/accuracy": value} for width, value in accuracies]
    return prepare(Frames(none.pairs, runs(NETWORK, *rows), none.paths, none.ensembles), {})


def seeded(*gains: float) -> list[dict[str, Any]]:
    return [{"sources": f"a{i},b{i}", "held_out": f"c{i}", HELD_OUT: 0.3 - gain} for i, gain in enumerate(gains)]


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ([0.20, 0.21], "supported"),
        ([-0.20, -0.21], "contradicted"),
        ([0.20, 0.05], "undecided"),
        ([0.20], "insufficient"),
        ([], "insufficient"),
    ],
)
def test_a_star_lowers_the_barrier_or_not(gains: list[float], said: str) -> None:
    verdict = judged("S-10", stars(*seeded(*gains)))
    assert verdict.answer == said, verdict
    if len(gains) > 1:
        assert "published: 0.242 ± 0.036 nats (n = not given) and 0.000 nats (n = not given)" in verdict.sentence
        assert "(n = 2 independent stars)" in verdict.sentence


def test_stars_of_different_numbers_of_networks_are_not_pooled() -> None:
    rows = seeded(0.2, 0.21)
    rows[1]["num_sources"] = 2
    assert judged("S-10", stars(*rows)).answer == "insufficient"


def test_stars_that_share_a_network_are_one_value() -> None:
    first, second, third = seeded(0.2, 0.21, 0.22)
    assert judged("S-10", stars(first, first | {"star_seed": 2, HELD_OUT: 0.08})).answer == "insufficient"
    linked = second | {"held_out": first["sources"]}  # no source is shared, and one network is
    assert judged("S-10", stars(first, linked)).answer == "insufficient"
    bridge = {"sources": "a0", "held_out": "c1"}
    assert judged("S-10", stars(first, second, third | bridge)).answer == "insufficient"
    both = judged("S-10", stars(first, first | {"star_seed": 2, HELD_OUT: 0.08}, second))
    assert both.answer == "supported", both
    assert "to the star 0.090 ± 0.000 nats (n = 2 independent stars)" in both.sentence


def test_published_barriers_without_n_or_deviation_stand_beside() -> None:
    verdict = judged("S-10", frames(), "paper")
    assert verdict.answer == "supported"
    assert verdict.sentence.startswith("4 for, 0 against, 0 neither, of 4 comparisons (8 more beside)")


def test_wider_networks_are_more_accurate_or_not() -> None:
    wide, narrow = [(512, 0.985), (512, 0.986)], [(8, 0.93), (8, 0.931)]
    verdict = judged("P-05", networks(*wide, *narrow))
    assert verdict.answer == "supported"
    assert "printed 93.8 ± 0.2 %" in verdict.sentence
    swapped = [(8, 0.985), (8, 0.986), (512, 0.93), (512, 0.931)]
    assert judged("P-05", networks(*swapped)).answer == "contradicted"
    assert judged("P-05", networks((512, 0.98), (512, 0.95), *narrow)).answer == "undecided"
    assert judged("P-05", networks((2, 0.11), (2, 0.11), *wide)).answer == "insufficient"  # width 2 is no network of 8
    assert judged("P-05", frames(), "paper").answer == "supported"


def test_networks_of_width_two_stay_at_chance_or_not() -> None:
    for accuracy, said in ((0.113, "supported"), (0.55, "contradicted")):
        verdict = judged("P-06", networks((2, accuracy), (2, accuracy + 0.001)))
        assert verdict.answer == said, verdict
    assert judged("P-06", networks((2, 0.12), (2, 0.3))).answer == "undecided"
    assert judged("P-06", frames(), "paper").answer == "supported"


def test_every_claim_here_is_tried() -> None:
    assert {claim.name for claim in (*STARLIGHT_CLAIMS, *PERMUTATION_CLAIMS)} == {"S-10", "P-05", "P-06"}


def test_an_older_frame_without_stars_is_still_judged() -> None:
    assert isinstance(frames().stars, pd.DataFrame)
    assert judged("S-10", frames()).sentence.startswith("no data yet: two stars")


def test_table_2_of_starlight_has_a_row_of_costs() -> None:
    scores = {"accuracy/sources": 0.90, "accuracy/ensemble": 0.94, "accuracy/star": 0.92, "sources": "a,b,c"}
    usual = scores | {"num_sources": 3, "cost/train_seconds": 40.0}
    made = stars(usual | {"star_seed": 1}, usual | {"star_seed": 2, "accuracy/star": 0.93})
    ends = runs(NETWORK | {"cost/train_seconds": 10.0}, {}, {}, {}).assign(run_id=["a", "b", "c"])
    table = star_costs(replace(made, endpoints=ends)).set_index("predictor")
    costs = table[["trainings", "stored_networks", "evaluations_per_image", "train_seconds"]]
    assert costs.loc["one network"].tolist() == [1, 1, 1, 10]
    assert costs.loc["ensemble of the sources"].tolist() == [3, 3, 3, 30]
    assert costs.loc["star"].tolist() == [4, 1, 1, 70]  # its sources are trained first
    assert table["percent"].tolist() == pytest.approx([90, 94, 92.5])
    assert table["sd"].tolist() == pytest.approx([0, 0, 0.5**0.5])
    assert set(table["n"]) == {2}
    unknown = star_costs(made).set_index("predictor")  # the sources are not in this store
    assert unknown["train_seconds"].isna().all()
    assert star_costs(frames()).empty


def test_stars_of_other_numbers_of_sources_have_rows_of_their_own() -> None:
    scores = {"accuracy/sources": 0.9, "accuracy/ensemble": 0.94, "accuracy/star": 0.92, "sources": "a"}
    table = star_costs(stars(scores | {"num_sources": 2}, scores | {"num_sources": 3}))
    assert table["sources"].tolist() == [2, 2, 2, 3, 3, 3]
    several = {name.replace("accuracy", "average_precision"): value for name, value in scores.items()}
    labels = star_costs(stars(several | {"num_sources": 2}))
    assert labels["score"].tolist() == ["average precision"] * 3
