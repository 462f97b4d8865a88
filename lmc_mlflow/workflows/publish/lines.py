"""Writes the lines that publish prints: the model, what it takes and gives, and how it is loaded."""

from lmc_mlflow.terminal.closing import browse_lines
from lmc_mlflow.terminal.models import load_lines
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
