"""Names the settings in which the networks behind one row differ: both ends of a path, the members of an ensemble."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

MADE_BY = "made_by"
"""Column of a table of networks: the command that made each of them."""
PLAIN = "train_pair"
UNTOLD = ("side", "seed", "noise_seed", "order_seed", "augmentation_seed", "init", "engine")
"""What networks of one row may differ in without a word: sides have columns of their own, seeds make repetitions."""
MIXTURE = ("mixture_of", "mixture")
"""Columns: the settings in which the networks differ, comma-separated; the same in words with their values."""


def mixtures(networks: Sequence[Sequence[str]], known: pd.DataFrame) -> pd.DataFrame:
    """Compare the networks behind each row.

    Args:
        networks: of each row, the run ids of its networks; runs that the table does not have are passed over.
        known: settings of networks by run id, with column `made_by`.

    Returns:
        Columns `MIXTURE`; both are empty where the networks agree and were made by `train_pair`.
    """
    names = [name for name in known.columns if name not in UNTOLD]
    codes = pd.DataFrame({name: pd.factorize(known[name].map(_text))[0] for name in names}, index=known.index)
    plain = known[MADE_BY] == PLAIN
    by_run = dict(zip(known.index, zip(codes.itertuples(index=False, name=None), plain, strict=True), strict=True))
    rows = []
    for ids in networks:
        found = [run_id for run_id in dict.fromkeys(ids) if run_id in by_run]
        kinds = {by_run[run_id] for run_id in found}
        alike = len(kinds) < 2 and all(is_plain for _, is_plain in kinds)
        rows.append(("", "") if alike else _difference(known.loc[found, names].to_dict("records")))
    return pd.DataFrame(rows, columns=list(MIXTURE))


def _difference(networks: Sequence[Mapping[Any, Any]]) -> tuple[str, str]:
    found, words = [], []
    for name in networks[0]:
        texts = list(dict.fromkeys(text for text in (_text(network[name]) for network in networks) if text))
        if len(texts) > 1:
            found.append(str(name))
        if len(texts) > 1 or (name == MADE_BY and texts != [PLAIN]):
            words.append(f"{str(name).replace('_', ' ') if name == MADE_BY else name} {' and '.join(texts)}")
    return ",".join(found), ", ".join(words)


def _text(value: Any) -> str:
    """Write a setting; `auto` where it is left open, empty where a version did not log it."""
    if value is None or value != value:
        return "auto"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)
