"""Writes the lines that say how a published model is loaded."""

from collections.abc import Iterable

from lmc_mlflow.terminal.style import paint


def load_lines(model_uri: str) -> list[str]:
    """Write how a published model is loaded, where this project need not be installed."""
    return ["load it:", "  " + paint(f'mlflow.pytorch.load_model("{model_uri}")', "bold")]


def published_lines(model_uris: Iterable[str]) -> list[str]:
    """Return the lines for models that a command has published at its end; none where it has published none."""
    uris = [uri for uri in model_uris if uri]
    return [*(f"  published {uri}" for uri in uris), *(load_lines(uris[0]) if uris else [])]
