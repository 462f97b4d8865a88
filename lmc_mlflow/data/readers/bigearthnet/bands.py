"""The table of Sentinel-2 bands, and the named combinations of three of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmc_mlflow.config.choices import lookup

FULL_SIZE = 120
"""Pixels along each side of a patch of 1.2 km at 10 m."""


@dataclass(frozen=True)
class Band:
    """A row of the table of bands: central wavelength in nm, metres per pixel on the ground."""

    wavelength: int
    metres: int

    @property
    def size(self) -> int:
        """Return the pixels along each side of a patch as it is archived."""
        return FULL_SIZE * 10 // self.metres


BANDS: Mapping[str, Band] = {
    "B01": Band(443, 60),
    "B02": Band(490, 10),
    "B03": Band(560, 10),
    "B04": Band(665, 10),
    "B05": Band(705, 20),
    "B06": Band(740, 20),
    "B07": Band(783, 20),
    "B08": Band(842, 10),
    "B8A": Band(865, 20),
    "B09": Band(945, 60),  # as in ESA's Sentinel-2 tables; other sources say 940
    "B11": Band(1610, 20),
    "B12": Band(2190, 20),
}
"""All bands of level 2A; B10 sees the upper atmosphere alone and is not in the archives."""

CHANNELS: Mapping[str, tuple[str, ...]] = {
    "natural": ("B04", "B03", "B02"),
    "infrared": ("B08", "B04", "B03"),
    "agriculture": ("B11", "B08", "B02"),
    **{band: (band,) for band in BANDS},
}
"""Name -> bands of an image, channels in order: three bands together, or any band alone."""


def channels_of(name: str) -> tuple[str, ...]:
    """Return the bands of a band or combination, channels in order.

    Raises:
        ValueError: unknown; lists the choices.
    """
    return lookup(CHANNELS, name, "rendering")


def distance_nm(first: str, second: str) -> float:
    """Measure how far apart two bands or combinations are: the mean difference in wavelength of their channels.

    The first layer of a network has weights for each channel, so the channels are compared one by one, in order.

    Returns:
        Nanometres between central wavelengths (Hepburn et al., Table IV).

    Raises:
        ValueError: an unknown name, or different numbers of channels.
    """
    channels = list(zip(channels_of(first), channels_of(second), strict=True))
    return sum(abs(BANDS[a].wavelength - BANDS[b].wavelength) for a, b in channels) / len(channels)


def bands_of(names: Sequence[str]) -> tuple[str, ...]:
    """List every band that is named or part of a named combination, each once, in that order.

    Raises:
        ValueError: an unknown name, or none at all.
    """
    if not names:
        raise ValueError(f"bands: name at least one of {', '.join(sorted(CHANNELS))}")
    return tuple(dict.fromkeys(band for name in names for band in lookup(CHANNELS, name, "band")))
