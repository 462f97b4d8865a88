"""Options of a trajectory: for how long and how a trained network is trained further."""

import dataclasses
from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option, option_of
from lmc_mlflow.config.starting import check_epochs_text
from lmc_mlflow.config.train_pair import OptimizationConfig

_CHOICES = {spec.name: option_of(spec).choices for spec in dataclasses.fields(OptimizationConfig)}


@dataclass(frozen=True)
class TrajectoryConfig(Section):
    """The further training of a trained network at a constant learning rate, each epoch of which is logged."""

    run: str = option("", "run id, or a prefix that only one run has, of the trained network")
    epochs: int = option(20, "further epochs, each of which is logged as a network of its own", minimum=1)
    optimizer: str | None = option(
        None, "update rule; auto: the one it was trained with", choices=_CHOICES["optimizer"]
    )
    lr: float | None = option(None, "learning rate; auto: the one it was trained with", above=0.0)
    batch_size: int | None = option(None, "images per step; auto: as it was trained", minimum=1)
    momentum: float | None = option(
        None, "momentum (sgd only); auto: as it was trained, 0 with another optimizer", minimum=0.0, maximum=0.9999
    )
    weight_decay: float | None = option(None, "weight decay; auto: as it was trained", minimum=0.0)
    engine: str | None = option(None, "exact or fast; auto: as it was trained", choices=_CHOICES["engine"])
    keep_epochs: str = option(
        "",
        "epochs, counted from the first training on, whose optimizers are kept too: 22,25 or every:5; empty: none",
        identity=False,
    )
    data_root: str = option("", "folder of the data set on this machine; empty: as the run was trained", identity=False)

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if not self.run:
            raise ValueError("give run=<run id of a trained network>")
        check_epochs_text(self.keep_epochs)
