"""Draws the first images of a training, both sides one above the other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lmc_mlflow.plots.style import grid_of_panels, house_style

Pixels = NDArray[np.float32]
_GAP = 1
"""Pixels between images."""


def first_batch_figure(images: Mapping[str, Pixels], labels: Mapping[str, list[str]], title: str) -> Figure:
    """Draw the first images of each side in a row, as the network gets them, in one range of grey values or colours.

    Below each image stands its class; above each row the range of its values, which differs between scalings (Hepburn
    et al., Fig. 10).

    Args:
        images: side -> (n, C, H, W), scaled, flipped and moved; unless there are three channels, the first is shown.
        labels: side -> class names of its images.
        title: over the figure.
    """
    low = min(float(side.min()) for side in images.values())
    high = max(float(side.max()) for side in images.values())
    with house_style():
        num = max(len(side) for side in images.values())
        figure, rows = grid_of_panels(len(images), 1, title, width=0.95 * num, height=1.5)
        for (name, side), (panel,) in zip(images.items(), rows, strict=True):
            shown = (_strip(side) - low) / ((high - low) or 1.0)
            options: dict[str, Any] = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0, "interpolation": "nearest"}
            panel.imshow(shown, **options)
            step = side.shape[-1] + _GAP
            places = [step * i + (side.shape[-1] - 1) / 2 for i in range(len(side))]
            panel.set_xticks(places, labels[name], fontsize="x-small")
            panel.set_yticks([])
            panel.grid(visible=False)
            panel.set_title(f"side {name}: {side.min():.2f} to {side.max():.2f}", fontsize="small", loc="left")
    return figure


def _strip(side: Pixels) -> Pixels:
    """Join the images to one, (H, width) or (H, width, 3), white between them."""
    chosen = side if side.shape[1] == 3 else side[:, :1]
    channels = chosen.shape[1]
    gap = np.full((channels, side.shape[2], _GAP), side.max(), dtype=np.float32)
    pieces = [piece for image in chosen for piece in (image, gap)][:-1]
    strip = np.concatenate(pieces, axis=2).transpose(1, 2, 0)
    return strip if channels == 3 else strip[:, :, 0]
