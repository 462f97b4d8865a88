"""The steps that follow a trained pair in a grid: paths and ensembles."""

import itertools
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmc_mlflow.config.canonical import from_texts, parameters
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.commands import EnsembleConfig, InterpolateConfig, TrainPairConfig
from lmc_mlflow.config.options import read_value, write_value
from lmc_mlflow.config.starting import kept_epochs
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.workflows.ensemble.ensemble import ensemble_fingerprint
from lmc_mlflow.workflows.networks.tags import members_tag
from lmc_mlflow.workflows.path.interpolate import path_fingerprint

Texts = Mapping[str, str]
NETWORKS_BY_URI = "foreign"
"""Section of what a step needs of networks that no store has; those of a sweep are in it, and know their own."""
GIVEN_BY_SWEEP = (
    "pair",
    "run_a",
    "run_b",
    "runs",
    "query",
    "mixed",
    "data_root",
    "device",
    "deterministic",
    "threads",
    "quiet",
)
"""Parameters of `interpolate` and `ensemble` that the sweep sets itself."""
PATH, LMC, SEEDS = "path", "lmc", "seeds"
PATHS = (Kind.PATH, Kind.PATH_BY_EPOCH, Kind.PATH_BY_LAYER)
"""Kinds of runs between the two networks of a pair."""
EPOCHS, LAYERS = "epochs", "layers"
"""Parameters of a path that make a run of another kind."""
ONE_VALUE = (EPOCHS, LAYERS, "layer_groups")
"""Parameters of a path whose list is one value: all its epochs, or layers, are one run."""
_SAMPLINGS = {LMC: LMC, SEEDS: SEEDS}
_SIDES = {"A": "A", "B": "B"}
Identity = tuple[str, ...]
MOST_CELLS = 20_000
"""Of a grid, seeds included; the papers' grids have up to 225, and checking one takes half a millisecond."""
MOST_STEPS = 100
"""That one item of `then` stands for."""


@dataclass(frozen=True)
class GridStep:
    """One path or ensemble that is made of a pair, or of all seeds of a configuration.

    Attributes:
        kind: `path`, `lmc` (an ensemble of points of the pair's path) or `seeds` (of networks of all seeds).
        texts: the parameters that the grid gives.
        side: with `seeds`, whose networks.
    """

    kind: str
    texts: tuple[tuple[str, str], ...]
    side: str = ""

    @property
    def epochs(self) -> tuple[int, ...]:
        """Return the kept epochs between which a path is measured; empty: it is one path of the trained pair."""
        found: tuple[int, ...] = read_value(EPOCHS, tuple[int, ...], dict(self.texts).get(EPOCHS, ""))
        return found

    @property
    def run_kind(self) -> str:
        """Return the kind of run that it makes."""
        if self.kind != PATH:
            return Kind.ENSEMBLE
        if dict(self.texts).get(LAYERS):
            return Kind.PATH_BY_LAYER
        return Kind.PATH_BY_EPOCH if self.epochs else Kind.PATH

    @property
    def name(self) -> str:
        """Name the step for a person."""
        what = {PATH: "interpolate", LMC: "ensemble of its path", SEEDS: f"ensemble of side {self.side}"}
        values = ", ".join(f"{name}={text}" for name, text in self.texts)
        return what[self.kind] + (f" ({values})" if values else "")


def values_of(name: str, value: Any) -> list[str]:
    """List the texts of a value of a grid: one, or each of a list.

    Raises:
        ValueError: a mapping, a list of lists, or nothing at all.
    """
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError(f"{name}: the list is empty")
    for one in values:
        if not isinstance(one, str | int | float | bool):
            raise ValueError(f"{name}={reprlib.repr(one)}: give a value, or a list of values that multiplies the cells")
    return [one if isinstance(one, str) else write_value(one) for one in values]


def count_products(given: Mapping[str, Any]) -> int:
    """Count the combinations of the values of a mapping, without making them."""
    return math.prod(len(value) for value in given.values() if isinstance(value, list))


def products(given: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield every combination of the values of a mapping, the last name varying fastest."""
    lists = [[(name, text) for text in values_of(name, value)] for name, value in given.items()]
    for combination in itertools.product(*lists):
        yield dict(combination)


def read_steps(then: Any, override: Texts) -> tuple[GridStep, ...]:
    """Read the steps that a grid's `then` lists.

    Args:
        then: as YAML gives it.
        override: parameters set in every step that has them.

    Raises:
        ValueError: naming the step and what is wrong with it.
    """
    if not isinstance(then, list):
        raise ValueError("then: give a list, as in '- interpolate: {num_alphas: 21}'")
    steps: list[GridStep] = []
    for number, item in enumerate(then, start=1):
        if not isinstance(item, dict) or len(item) != 1:
            raise ValueError(f"then, step {number}: give one of interpolate: {{...}} and ensemble: {{...}}")
        ((name, given),) = item.items()
        try:
            reader = lookup(_READERS, str(name), "step")
            if not isinstance(given, dict | None):
                raise ValueError("give its parameters as {name: value}, or nothing")
            given = {**(given or {})}
            given |= {
                key: ",".join(values_of(key, given[key])) for key in ONE_VALUE if isinstance(given.get(key), list)
            }
            num_steps = count_products(given)
            if num_steps > MOST_STEPS:
                raise ValueError(f"{num_steps:,} combinations, a step has at most {MOST_STEPS}")
            found = [reader(texts, override) for texts in products(given)]
        except ValueError as error:
            raise ValueError(f"then, step {number} ({name}): {error}") from None
        for step in found:
            if step in steps and not override:
                raise ValueError(f"then, step {number} ({name}): {step.name} is listed twice")
        steps += [step for step in dict.fromkeys(found) if step not in steps]
    return tuple(steps)


def _read_path(texts: dict[str, str], override: Texts) -> GridStep:
    override = {name: text for name, text in override.items() if name != EPOCHS}  # those of the training
    return _checked(GridStep(PATH, _sorted_texts(InterpolateConfig, texts, override)))


def _read_ensemble(texts: dict[str, str], override: Texts) -> GridStep:
    if "sampling" not in texts:
        raise ValueError("give sampling: lmc (points of the pair's path) or seeds (networks of all seeds)")
    sampling = lookup(_SAMPLINGS, texts.pop("sampling"), "sampling")
    if sampling == LMC:
        return _checked(GridStep(LMC, _sorted_texts(EnsembleConfig, texts, override)))
    if "side" not in texts:
        raise ValueError("sampling: seeds needs side: A, B or [A, B]")
    side = lookup(_SIDES, texts.pop("side"), "side")
    kept = {name: text for name, text in override.items() if name not in ("num_alphas", "include_ends", "bn")}
    return _checked(GridStep(SEEDS, _sorted_texts(EnsembleConfig, texts, kept), side))


_READERS = {"interpolate": _read_path, "ensemble": _read_ensemble}


def _sorted_texts(command: type, texts: dict[str, str], override: Texts) -> tuple[tuple[str, str], ...]:
    for name in texts:
        if name in GIVEN_BY_SWEEP:
            raise ValueError(f"{name}: the sweep gives it; leave it out")
    known = parameters(command)
    changed = {k: text for k, text in override.items() if k in known and known[k].section != NETWORKS_BY_URI}
    return tuple(sorted({**texts, **changed}.items()))


def _checked(step: GridStep) -> GridStep:
    step_config(step, "pair", ("a", "b"), TrainPairConfig())
    return step


def check_epochs_kept(steps: Sequence[GridStep], config: TrainPairConfig) -> None:
    """Check that a pair keeps the epochs between which steps measure paths; the last one need not be kept.

    Raises:
        ValueError: naming the epochs that it does not keep, and what to add.
    """
    last = config.optimization.epochs
    if config.optimization.steps is not None or not any(step.epochs for step in steps):
        return  # how many epochs so many steps are is known when the data are
    kept = {*kept_epochs(config.starting, last), last}
    for step in steps:
        if missing := sorted(set(step.epochs) - kept):
            texts = ",".join(map(str, missing))
            raise ValueError(f"{step.name}: the pair does not keep {texts}; add keep_epochs: '{texts}' to its cell")


def step_config(
    step: GridStep, pair: str, endpoints: Sequence[str], like: TrainPairConfig
) -> InterpolateConfig | EnsembleConfig:
    """Make the configuration of the workflow that a step runs.

    Args:
        step: what is made.
        pair: the pair's run id.
        endpoints: run ids of the members, for an ensemble of seeds.
        like: the pair's configuration, which says where its data are and what it runs on.
    """
    texts = {**dict(step.texts), "data_root": like.data.data_root}
    if step.kind == PATH:
        return replace(from_texts(InterpolateConfig, {**texts, "pair": pair}), runtime=like.runtime)
    members = {"pair": pair} if step.kind == LMC else {"runs": ",".join(endpoints)}
    return replace(from_texts(EnsembleConfig, {**texts, **members}), runtime=like.runtime)


def identity_of_step(step: GridStep, pair: str, endpoints: Sequence[str], like: TrainPairConfig) -> Identity:
    """Compute what tells the run of a step from all others; it equals `identity_of_run` of that run.

    Args:
        step: as in `step_config`.
        pair: as in `step_config`.
        endpoints: as in `step_config`; A and B for a path.
        like: as in `step_config`.
    """
    config = step_config(step, pair, endpoints, like)
    if isinstance(config, InterpolateConfig):
        return (step.run_kind, *endpoints, path_fingerprint(config))
    if step.kind == LMC:
        return (LMC, pair, ensemble_fingerprint(config))
    return (SEEDS, members_tag(list(endpoints)), ensemble_fingerprint(config))


def identity_of_run(tags: Mapping[str, str]) -> Identity:
    """Compute the identity of a logged path or ensemble from its tags."""
    kind = tags.get(Tag.KIND, "")
    if kind in PATHS:
        names = (Tag.RUN_A, Tag.RUN_B, Tag.FINGERPRINT)
        return (kind, *(tags.get(name, "") for name in names))
    sampling = tags.get(Tag.SAMPLING, "")
    which = tags.get(Tag.PAIR if sampling == LMC else Tag.MEMBERS, "")
    return (sampling, which, tags.get(Tag.FINGERPRINT, ""))
