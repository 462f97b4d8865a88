"""Claims on when the basin is chosen: barriers by the epoch after which both sides part."""

from collections.abc import Iterator

from lmc_mlflow.findings.comparisons import describe_condition
from lmc_mlflow.findings.conditions import COVARIATE, IMBALANCE, noise_source, per_seed
from lmc_mlflow.findings.differences import difference, mean_text
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.parting import PARTING, Parting, partings
from lmc_mlflow.findings.thresholds import NEGLIGIBLE
from lmc_mlflow.papers.commands import sweep_command
from lmc_mlflow.papers.frankle.pretrained_claims import pretrained_starts_are_connected

BARRIER = "test/barrier_in_basin"
MARGIN = NEGLIGIBLE["barrier"]


def barrier_falls_with_shared_epochs(tables: ConditionTables) -> Evidence:
    """Collect evidence that pairs that share more epochs have a lower barrier, all else equal.

    The smallest and the largest number of shared epochs below that of all epochs are compared. Where the barrier is
    low from the beginning, nothing can fall: such conditions stand beside.
    """
    evidence = Evidence()
    for parting in _partings(tables):
        rows = parting.rows[parting.rows[PARTING] < parting.rows["epochs"].astype(float)]
        first, last = (rows[rows[PARTING] == end] for end in (rows[PARTING].min(), rows[PARTING].max()))
        early, late = (per_seed(part, BARRIER) for part in (first, last))
        if rows[PARTING].nunique() < 2 or min(len(early), len(late)) < max(2, tables.min_seeds):
            continue
        fall, ends_of = difference(early, late), ((early, "min"), (late, "max"))
        ends = [f"{mean_text(of, 3, ' nats', 'seed')} after {rows[PARTING].agg(end)}" for of, end in ends_of]
        text = f"{_label(parting)}: barrier {' shared epochs, '.join(ends)}; lower by {fall.text(3)}, margin {MARGIN:g}"
        if early.mean() <= MARGIN:
            evidence.mention(text, parting.rows["run_id"])
        else:
            evidence.add(fall.direction(MARGIN), text, parting.rows["run_id"])
    return evidence


def imbalance_needs_more_shared_epochs(tables: ConditionTables) -> Evidence:
    """Collect evidence that sides of other labels must share more epochs to stay connected than equal halves."""
    evidence = Evidence()
    for group in _partings(tables, free=("shift",)):
        by_source: dict[str, list[Parting]] = {}
        for shift, rows in group.rows.groupby("shift"):
            if rows[PARTING].nunique() > 1:
                by_source.setdefault(noise_source(str(shift), "same"), []).append(Parting(rows))
        for unequal in by_source.get(IMBALANCE, []):
            for equal in by_source.get(COVARIATE, []):
                _compare(evidence, unequal, equal, tables.min_seeds)
    return evidence


def _compare(evidence: Evidence, unequal: Parting, equal: Parting, min_seeds: int) -> None:
    late, early = unequal.connected_from(), equal.connected_from()
    if min(len(late), len(early)) < max(2, min_seeds):
        return
    found = difference(late, early)
    text = f"{_label(unequal)}: connected from {mean_text(late, 1, ' shared epochs', 'seed')} on, "
    text += f"{equal.rows['shift'].iloc[0]}: {mean_text(early, 1, '', 'seed')}; later by {found.text(1)}"
    evidence.add(found.direction(), text, (*unequal.rows["run_id"], *equal.rows["run_id"]))


def _partings(tables: ConditionTables, free: tuple[str, ...] = ()) -> Iterator[Parting]:
    if tables.frames is not None:
        yield from partings(tables.frames.parted, tables.policy, free)


def _label(parting: Parting) -> str:
    return describe_condition(parting.rows.iloc[0])


FRANKLE_CLAIMS = (
    Claim(
        "F-01",
        "The longer two sides share their training before they part, the lower the barrier between them",
        barrier_falls_with_shared_epochs,
        f"`{sweep_command('instability')}`",
    ),
    Claim(
        "F-02",
        "Under label imbalance two sides must share more epochs to stay connected than under covariate shift",
        imbalance_needs_more_shared_epochs,
        f"`{sweep_command('instability')}`",
    ),
    Claim(
        "F-03",
        "Sides that start from a pretrained network are connected although they part at once, unlike random starts",
        pretrained_starts_are_connected,
        f"`{sweep_command('pretrained_starts')}`, and again with `-P override=start=<run id>` of the pretrained one",
    ),
)
