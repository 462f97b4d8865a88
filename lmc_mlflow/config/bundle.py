"""The options that say which runs are carried from one store to another."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option
from lmc_mlflow.contract import Artifact, Tag

SUFFIX = ".zip"


@dataclass(frozen=True)
class ExportConfig(Section):
    """Which runs are written to a bundle, and with which of their files."""

    out: str = option("", f"path of the bundle, ending in {SUFFIX}; an existing file is never overwritten")
    query: str = option(
        "", f"an MLflow filter over runs, as in tags.\"{Tag.MODEL}\" = 'mlp_l1_w587'; empty: all runs of this project"
    )
    experiment: str = option("", "name of the experiment that is searched; empty: all")
    checkpoints: bool = option(
        True,
        "false: leave out networks, resumable states, predictions and other arrays; no path can be measured "
        "between such networks",
    )
    figures: bool = option(True, "false: leave out figures and pages too, so that only numbers are written")
    leave_out: tuple[str, ...] = option(
        (), f"names of further artifacts to leave out, comma-separated, as in {Artifact.BARRIER_BY_SAMPLE}"
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if not self.out.endswith(SUFFIX):
            raise ValueError(f"out={self.out!r}: give the path of the bundle, as in out=runs{SUFFIX}")
        if Artifact.MANIFEST in self.leave_out:
            raise ValueError(f"leave_out: {Artifact.MANIFEST} vouches for the other artifacts of a run and stays")


@dataclass(frozen=True)
class ImportConfig(Section):
    """Which bundles are merged into the store."""

    bundles: tuple[str, ...] = option((), "paths of bundles (or of folders they were unpacked to), comma-separated")
    artifacts: str = option(
        "", "for the database behind a server: the folder that the server was given as --artifacts-destination"
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if not self.bundles:
            raise ValueError(f"bundles: name at least one, as in bundles=runs{SUFFIX}")
        if len(set(self.bundles)) < len(self.bundles):
            raise ValueError(f"bundles={','.join(self.bundles)}: each bundle once")
