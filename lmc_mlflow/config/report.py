"""Options of a report: the runs that it reads, and the folder that it is written to."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option


@dataclass(frozen=True)
class ReportConfig(Section):
    """The runs that are compared with the papers' numbers."""

    experiment: tuple[str, ...] = option((), "names of the experiments to read, comma-separated; empty: all")
    stand_ins: tuple[str, ...] = option(
        (),
        "names in the store that stand for names of the paper (data sets, networks), comma-separated, as in "
        "imagefolder:cifar10,resnet10_s222:resnet10",
    )
    min_seeds: int = option(2, "a cell with fewer seeds counts as no data yet, and decides no claim", minimum=2)
    out: str = option("", "folder that the report is also written to; empty: it is only logged")

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        for text in self.stand_ins:
            if text.count(":") != 1 or not all(text.split(":")):
                raise ValueError(
                    f"stand_ins={text!r}: give <name in the store>:<the paper's>, as in imagefolder:cifar10"
                )
        if len(set(self.experiment)) < len(self.experiment):
            raise ValueError(f"experiment={','.join(self.experiment)}: each experiment once")

    @property
    def names(self) -> dict[str, str]:
        """Return the name in the store -> the paper's."""
        return {part[0]: part[1] for part in (text.split(":") for text in self.stand_ins)}
