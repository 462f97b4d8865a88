"""Finds the local folder that the artifacts of an experiment go to."""

from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from lmc_mlflow.tracking.connection.store import Store


def local_folder(store: Store) -> Path | None:
    """Return the folder of the artifacts of a store's experiment; None where a server or a cloud keeps them."""
    place = store.client.get_experiment(store.experiment_id).artifact_location
    parsed = urlparse(place)
    if parsed.scheme not in ("", "file"):
        return None
    return Path(url2pathname(parsed.path) if parsed.scheme else place)
