"""Reads the text of `perturb`: how side B is changed where the sides part."""

from dataclasses import dataclass

from lmc_mlflow.config.options import read_value

GAUSSIAN, BATCH = "gaussian", "batch"
"""Forms of `perturb`."""


@dataclass(frozen=True)
class Perturbation:
    """A change of side B's weights where the sides part.

    Attributes:
        form: `gaussian` or `batch`.
        size: standard deviation of the noise, or number of images.
    """

    form: str
    size: float


def read_perturbation(text: str) -> Perturbation | None:
    """Read `gaussian:<sigma>` or `batch:<n>`; an empty text is no perturbation.

    Raises:
        ValueError: it is neither.
    """
    if not text:
        return None
    form, _, size = text.partition(":")
    wrong = ValueError(f"perturb={text!r}: give {GAUSSIAN}:<standard deviation> or {BATCH}:<number of images>")
    if form == BATCH:
        if not size.isascii() or not size.isdigit() or not 0 < int(size) < 10**9:
            raise wrong
        return Perturbation(form, int(size))
    try:
        sigma = float(read_value("perturb", float, size))
    except ValueError:
        raise wrong from None
    if form != GAUSSIAN or not 0 <= sigma < 1e30:
        raise wrong
    return Perturbation(form, sigma)
