"""Writes the lines that publish prints, and those that other commands print of what they have published."""

from collections.abc import Iterable

from lmc_mlflow.terminal.closing import browse_lines
from lmc_mlflow.terminal.style import paint
from lmc_mlflow.workflows.publish.publish import PublishOutcome


def publish_lines(outcome: PublishOutcome) -> list[str]:
    """Return the lines for a published model."""
    registered = [f"  registered as {outcome.registered}, version {outcome.version}"] if outcome.registered else []
    return [
        f"model {outcome.model_uri} ({outcome.how}): {outcome.name}",
        f"  takes {outcome.takes}",
        f"  gives {outcome.gives}",
        *registered,
        *load_lines(outcome.model_uri),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]


def load_lines(model_uri: str) -> list[str]:
    """Write how a published model is loaded, where this project need not be installed."""
    return ["load it:", "  " + paint(f'mlflow.pytorch.load_model("{model_uri}")', "bold")]


def published_lines(model_uris: Iterable[str]) -> list[str]:
    """Return the lines for models that a command has published at its end; none where it has published none."""
    uris = list(model_uris)
    return [*(f"  published {uri}" for uri in uris), *(load_lines(uris[0]) if uris else [])]
