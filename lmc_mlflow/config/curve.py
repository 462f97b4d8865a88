"""Options of a path that is a trained curve: its form, its bends, and how these are trained."""

from dataclasses import dataclass, replace

from lmc_mlflow.config.alignment import NONE, PathAligningConfig
from lmc_mlflow.config.options import Section, option
from lmc_mlflow.config.path import EpochsConfig
from lmc_mlflow.config.train_pair import BUDGETS, ELSEWHERE, OptimizationConfig

SEGMENT, BEZIER, POLYGON = "segment", "bezier", "polygon"
FORMS = (BEZIER, POLYGON)
"""The names of `paths.curves.CURVES`, which a configuration cannot import: PyTorch would come with it."""
AS_A = "; auto: as network A was trained"


@dataclass(frozen=True)
class CurveConfig(Section):
    """Whether a path is straight, or a curve whose bends are trained until its loss is low."""

    path: str = option(
        SEGMENT,
        "segment: straight; bezier, polygon: a curve between the same two networks whose bends are trained, measured "
        "beside the segment",
        choices=(SEGMENT, *FORMS),
    )
    curve_bends: int = option(1, "trained points between the ends", minimum=1, maximum=9)
    curve_epochs: int | None = option(
        None, f"passes over the training images; 0: the bends stay evenly spaced on the segment{AS_A}", minimum=0
    )
    curve_lr: float | None = option(None, f"learning rate of the bends{AS_A}", above=0.0)
    curve_batch_size: int | None = option(
        None, f"images per step; each step trains one point of the curve{AS_A}", minimum=1
    )
    curve_data: str = option(
        "both", "training images: those of both networks together, or of one", choices=("both", "side_a", "side_b")
    )
    curve_seed: int = option(0, "seed of all draws of the training of the bends", minimum=0)

    @property
    def is_straight(self) -> bool:
        """Whether the path is the segment."""
        return self.path == SEGMENT

    def check(self) -> None:
        """Refuse options of a curve where there is none."""
        plain = {name: spec.default for name, spec in self.__dataclass_fields__.items() if name != "path"}
        for name, default in plain.items():
            if self.is_straight and getattr(self, name) != default:
                raise ValueError(f"{name} belongs to path={'|'.join(FORMS)}; leave it out with path={SEGMENT}")


def check_curve(
    curve: CurveConfig, by_epoch: EpochsConfig, aligning: PathAligningConfig, by_layer: bool = False
) -> None:
    """Check that nothing else is asked of a curve than what is measured on one; `by_layer`: layers, one by one.

    Raises:
        ValueError: an alignment, layers, or paths between kept epochs.
    """
    if curve.is_straight:
        return
    if aligning.align != NONE:
        raise ValueError(
            f"align={aligning.align} and path={curve.path} are two steps; align the pair first (command align), then "
            "give the alignment run as run_b"
        )
    if by_layer:
        raise ValueError(f"layers are interpolated on the segment; leave path={curve.path} out")
    if by_epoch.epochs:
        raise ValueError(f"path={curve.path} is trained between trained networks; leave epochs out")


def curve_optimization(curve: CurveConfig, source: OptimizationConfig) -> OptimizationConfig:
    """Take the settings of the training of the bends from network A's, but for those that are given.

    A warm-up that is not shorter than the training is left out.

    Raises:
        ValueError: nobody has said how network A was trained.
    """
    named = {"curve_epochs": "epochs", "curve_lr": "lr", "curve_batch_size": "batch_size"}
    given = {name: getattr(curve, option) for option, name in named.items() if getattr(curve, option) is not None}
    missing = [option for option, name in named.items() if name not in given]
    if source.loop == ELSEWHERE and missing:
        raise ValueError(f"network A was trained elsewhere, nobody has said how; give {', '.join(missing)}")
    epochs = max(1, given.get("epochs", source.epochs))  # 0 epochs are told from 1 by the option
    warmup = source.warmup_epochs if source.warmup_epochs < epochs else 0.0
    settings = {**dict.fromkeys(BUDGETS), "engine": "exact", "warmup_epochs": warmup, **given, "epochs": epochs}
    return replace(source, **settings)
