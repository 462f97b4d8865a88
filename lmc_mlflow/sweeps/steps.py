"""What follows a trained pair in a grid? Paths and ensembles, as a grid names them and as workflows take them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmc_mlflow.config.canonical import from_texts, parameters
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.commands import EnsembleConfig, InterpolateConfig, TrainPairConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.workflows.ensemble.ensemble import ensemble_fingerprint
from lmc_mlflow.workflows.networks.tags import members_tag
from lmc_mlflow.workflows.path.interpolate import path_fingerprint

Texts = Mapping[str, str]
THE_SWEEPS = ("pair", "run_a", "run_b", "runs", "query", "data_root", "device", "deterministic", "threads")
"""Parameters of `interpolate` and `ensemble` that a sweep gives itself."""
_SAMPLINGS = {"lmc": "lmc", "seeds": "seeds"}
_SIDES = {"A": "A", "B": "B"}
Identity = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One thing that is made of a pair, or of all seeds of a configuration.

    Attributes:
        kind: `path`, `lmc` (an ensemble of points of the pair's path) or `seeds` (of networks of all seeds).
        texts: the parameters that the grid gives.
        side: with `seeds`, whose networks.
    """

    kind: str
    texts: tuple[tuple[str, str], ...]
    side: str = ""

    @property
    def name(self) -> str:
        """What a person would call it."""
        what = {"path": "interpolate", "lmc": "ensemble of its path", "seeds": f"ensemble of side {self.side}"}
        values = ", ".join(f"{name}={text}" for name, text in self.texts)
        return what[self.kind] + (f" ({values})" if values else "")


def values_of(name: str, value: Any) -> list[str]:
    """The texts of a value of a grid: one, or each of a list.

    Raises:
        ValueError: a mapping, a list of lists, or nothing at all.
    """
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError(f"{name}: the list is empty")
    for one in values:
        if not isinstance(one, str | int | float | bool):
            raise ValueError(f"{name}={one!r}: give a value, or a list of values that multiplies the cells")
    return [one if isinstance(one, str) else write_value(one) for one in values]


def products(given: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Every combination of the values of a mapping, the last name varying fastest."""
    lists = [[(name, text) for text in values_of(name, value)] for name, value in given.items()]
    for combination in itertools.product(*lists):
        yield dict(combination)


def read_steps(then: Any, override: Texts) -> tuple[Step, ...]:
    """The steps that a grid's `then` lists.

    Args:
        then: as YAML gives it.
        override: parameters set in every step that has them.

    Raises:
        ValueError: naming the step and what is wrong with it.
    """
    if not isinstance(then, list):
        raise ValueError("then: give a list, as in '- interpolate: {num_alphas: 21}'")
    steps: list[Step] = []
    for number, item in enumerate(then, start=1):
        if not isinstance(item, dict) or len(item) != 1:
            raise ValueError(f"then, step {number}: give one of interpolate: {{...}} and ensemble: {{...}}")
        ((name, given),) = item.items()
        try:
            reader = lookup(_READERS, str(name), "step")
            if not isinstance(given, dict | None):
                raise ValueError("give its parameters as {name: value}, or nothing")
            made = [reader(texts, override) for texts in products(given or {})]
        except ValueError as error:
            raise ValueError(f"then, step {number} ({name}): {error}") from None
        for step in made:
            if step in steps and not override:
                raise ValueError(f"then, step {number} ({name}): {step.name} stands there twice")
        steps += [step for step in dict.fromkeys(made) if step not in steps]
    return tuple(steps)


def _path(texts: dict[str, str], override: Texts) -> Step:
    return _checked(Step("path", _sorted(InterpolateConfig, texts, override)))


def _ensemble(texts: dict[str, str], override: Texts) -> Step:
    if "sampling" not in texts:
        raise ValueError("give sampling: lmc (points of the pair's path) or seeds (networks of all seeds)")
    sampling = lookup(_SAMPLINGS, texts.pop("sampling"), "sampling")
    if sampling == "lmc":
        return _checked(Step("lmc", _sorted(EnsembleConfig, texts, override)))
    if "side" not in texts:
        raise ValueError("sampling: seeds needs side: A, B or [A, B]")
    side = lookup(_SIDES, texts.pop("side"), "side")
    kept = {name: text for name, text in override.items() if name not in ("num_alphas", "include_ends", "bn")}
    return _checked(Step("seeds", _sorted(EnsembleConfig, texts, kept), side))


_READERS = {"interpolate": _path, "ensemble": _ensemble}


def _sorted(command: type, texts: dict[str, str], override: Texts) -> tuple[tuple[str, str], ...]:
    for name in texts:
        if name in THE_SWEEPS:
            raise ValueError(f"{name}: the sweep gives it; leave it out")
    return tuple(sorted({**texts, **{k: v for k, v in override.items() if k in parameters(command)}}.items()))


def _checked(step: Step) -> Step:
    step_config(step, "pair", ("a", "b"), TrainPairConfig())
    return step


def step_config(
    step: Step, pair: str, endpoints: Sequence[str], like: TrainPairConfig
) -> InterpolateConfig | EnsembleConfig:
    """What a workflow takes for a step.

    Args:
        step: what is made.
        pair: the pair's run id.
        endpoints: run ids of the members, for an ensemble of seeds.
        like: the pair's configuration: where its data are, and what it runs on.
    """
    texts = {**dict(step.texts), "data_root": like.data.data_root}
    if step.kind == "path":
        return replace(from_texts(InterpolateConfig, {**texts, "pair": pair}), runtime=like.runtime)
    members = {"pair": pair} if step.kind == "lmc" else {"runs": ",".join(endpoints)}
    return replace(from_texts(EnsembleConfig, {**texts, **members}), runtime=like.runtime)


def wanted(step: Step, pair: str, endpoints: Sequence[str], like: TrainPairConfig) -> Identity:
    """What tells the run of a step from all others: held against `made`.

    Args: as in `step_config`; `endpoints` are A and B for a path.
    """
    config = step_config(step, pair, endpoints, like)
    if isinstance(config, InterpolateConfig):
        return ("path", *endpoints, path_fingerprint(config))
    if step.kind == "lmc":
        return ("lmc", pair, ensemble_fingerprint(config))
    return ("seeds", members_tag(list(endpoints)), ensemble_fingerprint(config))


def made(tags: Mapping[str, str]) -> Identity:
    """What a logged path or ensemble is, by its tags."""
    if tags.get(Tag.KIND) == Kind.PATH:
        names = (Tag.RUN_A, Tag.RUN_B, Tag.FINGERPRINT)
        return ("path", *(tags.get(name, "") for name in names))
    sampling = tags.get(Tag.SAMPLING, "")
    which = tags.get(Tag.PAIR if sampling == "lmc" else Tag.MEMBERS, "")
    return (sampling, which, tags.get(Tag.FINGERPRINT, ""))
