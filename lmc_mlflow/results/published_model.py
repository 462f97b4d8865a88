"""The result of publishing: the model, and the run that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lmc_mlflow.results.result import Result


@dataclass(frozen=True)
class PublishedModel(Result):
    """A model in the store; `run_id`, `name` and `metrics` are those of the run that it came from.

    Attributes:
        model_id: of the model.
        model_uri: what `mlflow.pytorch.load_model` and `mlflow.pyfunc.load_model` take.
        takes: its inputs, in words.
        gives: its outputs, in words.
        registered: the name that it is registered under, or empty.
        version: of that name, or empty.
    """

    model_id: str
    model_uri: str
    takes: str
    gives: str
    registered: str
    version: str
    shown: ClassVar[tuple[str, ...]] = ()

    def summary(self) -> dict[str, str]:
        """Return what the model takes and gives, and how it is loaded."""
        named = {"registered": f"{self.registered}, version {self.version}"} if self.registered else {}
        return {
            "load": f'mlflow.pytorch.load_model("{self.model_uri}")',
            "takes": self.takes,
            "gives": self.gives,
        } | named
