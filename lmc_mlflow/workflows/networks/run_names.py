"""Names runs for the runs table: what differs first, epochs included, at most 40 characters."""

from collections.abc import Sequence

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.train_pair import ELSEWHERE, OWN_LOOP, OptimizationConfig
from lmc_mlflow.query.networks import LoggedNetwork

MAX_NAME = 40
ADOPTED = " adopted "
"""Between what an adopted network is called and the rest of its run's name."""
MANY = 3
"""Of more different values than this only the first and the last are named."""


def pair_run_name(config: TrainPairConfig, side: str = "") -> str:
    """Name the run of a pair, or of one of its networks, as in `s1 A e30 label_2080 mlp_l1_w587 digits`."""
    return fit([_seed(config), side, *condition_words([config])])


def adopted_run_name(label: str, config: TrainPairConfig) -> str:
    """Name the run of an adopted network, as in `m-3f2a91c04d adopted digits`."""
    rest = f"{ADOPTED}{config.data.dataset}"
    return f"{label[: max(8, MAX_NAME - len(rest))]}{rest}"[:MAX_NAME]


def short_name(network: LoggedNetwork) -> str:
    """Name a network in figures and lists: by seed and side, or by where it was adopted from."""
    if network.config.optimization.loop == ELSEWHERE:
        return str(network.run.info.run_name or network.run.info.run_id[:8]).partition(ADOPTED)[0]
    return f"seed {network.config.model.seed} {network.side}"


def group_run_name(what: str, networks: Sequence[LoggedNetwork], how: str = "") -> str:
    """Name a run over several networks, as in `path s1 A-B e30 label_2080 mlp_l1_w587 digits`.

    Args:
        what: it is.
        networks: in order.
        how: it was made, where that is not the usual way.
    """
    return fit([what, _ends(networks), how, *condition_words([network.config for network in networks])])


def fit(words: Sequence[str]) -> str:
    """Join the words that have room, from the first; the first is cut if it has not."""
    name = ""
    for word in filter(None, words):
        longer = f"{name} {word}".strip()
        if name and len(longer) > MAX_NAME:
            break
        name = longer
    return name[:MAX_NAME]


def condition_words(configs: Sequence[TrainPairConfig]) -> list[str]:
    """List the settings of trainings in short words: epochs, then what is not at its default, shift, network, data."""
    plain, found = OptimizationConfig(), []
    if any(config.optimization.loop == ELSEWHERE for config in configs):
        return ["adopted", _joined([c.data.dataset for c in configs])]
    found.append(_joined([f"e{config.optimization.epochs}" for config in configs]))
    for field, form in (("lr", "lr{:g}"), ("batch_size", "B{}"), ("optimizer", "{}"), ("engine", "{}")):
        values = [getattr(config.optimization, field) for config in configs]
        if any(value != getattr(plain, field) for value in values):
            found.append(_joined([form.format(value) for value in values]))
    if any(config.noise.noise != "same" for config in configs):
        found.append("own noise")
    if any(config.optimization.loop == OWN_LOOP for config in configs):
        found.append("own loop")
    if any(config.model.init != "same" for config in configs):
        found.append("own init")
    found.append(_joined([start_words(config) for config in configs]))
    for values in (
        [c.data.shift for c in configs],
        [c.model.model for c in configs],
        [c.data.dataset for c in configs],
    ):
        found.append(_joined(values))
    return found


def start_words(config: TrainPairConfig) -> str:
    """Write in short where the sides start, if not at random, as in `shared5` or `from 1a2b3c4d e5`."""
    own = config.starting
    words = [f"from {own.start[:8]}"] if own.start else []
    words += [f"e{own.start_epoch}"] if own.start_epoch else []
    words += [f"shared{own.shared_epochs}"] if own.shared_epochs else []
    words += [own.perturb] if own.perturb else []
    return " ".join([*words, *(["frozen"] if own.freeze else [])])


def _ends(networks: Sequence[LoggedNetwork]) -> str:
    """Name networks by seed and side: `s1 A-B` of one seed, `s1A-s2A` of two, `s1,2,3 A`, or their number."""
    if any(network.config.optimization.loop == ELSEWHERE for network in networks):
        return "-".join(map(short_name, networks)) if len(networks) <= 2 else f"{len(networks)} networks"
    seeds = list(dict.fromkeys(_seed(network.config) for network in networks))
    sides = list(dict.fromkeys(network.side for network in networks))
    if len(networks) == 2:
        if len(seeds) == 1:
            return f"{seeds[0]} {'-'.join(network.side for network in networks)}"
        return "-".join(f"{_seed(network.config)}{network.side}" for network in networks)
    return f"{_joined(seeds)} {'' if len(sides) > 2 else ','.join(sides)}".strip()


def _joined(values: Sequence[str]) -> str:
    different = list(dict.fromkeys(values))
    return ",".join(different) if len(different) <= MANY else f"{different[0]}..{different[-1]}"


def _seed(config: TrainPairConfig) -> str:
    return f"s{config.model.seed}"
