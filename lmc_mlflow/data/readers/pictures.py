"""Reads pictures of 8 bits in each channel; whatever would lose bits, bands or memory is refused."""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from tqdm import tqdm

from lmc_mlflow.data.memory import check_memory
from lmc_mlflow.errors import first_line

Pixels = NDArray[np.uint8]
GREY_MODES = ("1", "L")
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "IM", "JPEG", "JPEG2000", "MSP", "PCX", "PNG", "PPM", "PSD", "QOI", "SGI",
    "SUN", "TGA", "TIFF", "WEBP", "XBM",
)  # fmt: skip
"""Formats of Pillow that hold pixels; for EPS it would start Ghostscript, whatever the name of the file."""
DEEP = re.compile(r"^(?!BGR).*;(16|32)")
"""What Pillow calls pixels that it would cut to 8 bits; `BGR;16` has 5 or 6 in each channel."""

ORIENTATION, FIRST_LYING = 0x0112, 5
"""EXIF's tag of how a camera was held; from 5 on, height and width change places."""
COPIES = 2
"""The pictures, and the array that they are copied to."""


def read_pictures(files: Sequence[Path], image_size: int | None, dataset: str) -> Pixels:
    """Read pictures (N, C, H, W); where grey and colour are mixed, all become colour.

    Args:
        files: at least one, of any of `FORMATS`.
        image_size: height and width to bring each to (bilinear); None: they are of one size.
        dataset: whose pictures they are, for errors.

    Raises:
        ValueError: no picture, a damaged one, one that would lose bits or bands, pictures of several sizes, or
            more of them than memory can hold.
    """
    if image_size is not None:
        check_memory(dataset, len(files), image_size**2, COPIES)
    first = read_picture(files[0], image_size, dataset)
    check_memory(dataset, len(files), first.nbytes, COPIES)
    with without_size_warnings(), ThreadPoolExecutor() as pool:
        read = pool.map(lambda path: read_picture(path, image_size, dataset), files)
        arrays = list(tqdm(read, total=len(files), desc="reading images", unit="img", leave=False, disable=None))
    if len({array.shape[0] for array in arrays}) > 1:
        arrays = [np.repeat(array, 3, axis=0) if array.shape[0] == 1 else array for array in arrays]
    for path, array in zip(files, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"{dataset}: {path} is {array.shape[1:]}, {files[0]} is {arrays[0].shape[1:]}; give image_size=<pixels>"
            )
    return np.stack(arrays)


def read_picture(path: Path, image_size: int | None, dataset: str) -> Pixels:
    """Read one picture (C, H, W) of one or three channels, turned as its camera says, on white where it is transparent.

    Raises:
        ValueError: no picture, a damaged one, or one that would lose bits or bands.
    """
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        known = _formats()
        with Image.open(path, formats=known) as image:
            if image.format == "PNG":
                image.verify()  # loading alone does not see that the end is missing
        with Image.open(path, formats=known) as image:
            _check_depth(image)
            image.load()
            plain = _plain(ImageOps.exif_transpose(image))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, dataset, error) from None
    if image_size is not None:
        plain = _resize(plain, image_size)
    array = np.asarray(plain, dtype=np.uint8)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def picture_shape(path: Path, dataset: str) -> tuple[int, int, int]:
    """Read the shape (C, H, W) of a picture from its header, as `read_picture` would return it.

    Raises:
        ValueError: no picture, or one that would lose bits or bands.
    """
    try:
        with Image.open(path, formats=_formats()) as image:
            _check_depth(image)
            width, height = image.size
            if image.getexif().get(ORIENTATION, 1) >= FIRST_LYING:
                width, height = height, width
            return 1 if image.mode in GREY_MODES and not _transparent(image) else 3, height, width
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, dataset, error) from None


@contextmanager
def without_size_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of very large pictures within the block: what is too large is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _unreadable(path: Path, dataset: str, error: Exception) -> ValueError:
    return ValueError(f"{dataset}: {path} cannot be read as an image ({first_line(error)}); replace or remove it")


def resize_image(image: NDArray[Any], size: int) -> NDArray[Any]:
    """Bring one image (C, H, W), uint8 or float32, to (C, size, size), as pictures are."""
    return np.stack([np.asarray(_resize(Image.fromarray(channel), size)) for channel in image])


def _resize(picture: Image.Image, size: int) -> Image.Image:
    """Bring a picture to a height and width in pixels, bilinear and antialiased."""
    return picture.resize((size, size), Image.Resampling.BILINEAR)


def endings() -> tuple[str, ...]:
    """List the endings of the names of pictures, also of formats that are refused when they are read."""
    Image.init()
    return tuple(Image.registered_extensions())


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _check_depth(image: ImageFile) -> None:
    """Refuse what Pillow would read without a word, and without the low bits or the further bands."""
    raw = [tile.args if isinstance(tile.args, str) else str(next(iter(tile.args or ("",)))) for tile in image.tile]
    depth = max((arg for tile in image.tile for arg in _numbers(tile.args)), default=0) if image.format == "PPM" else 0
    if image.mode.startswith(("I", "F")) or any(DEEP.match(name) for name in raw) or depth > 255:
        raise ValueError(f"its pixels, of mode {image.mode}, have more than 8 bits")
    if image.format == "TIFF" and (len(image.getbands()) not in (1, 3) or any("X" in name for name in raw)):
        raise ValueError(f"its bands, {raw[0] if raw else image.mode}, are neither one of grey nor three of colour")


def _numbers(args: object) -> Iterable[int]:
    return [arg for arg in args if isinstance(arg, int)] if isinstance(args, tuple) else []


def _plain(image: Image.Image) -> Image.Image:
    """Bring a picture to grey or colour: transparent pixels lie on white."""
    if _transparent(image):
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return image.convert("L" if image.mode in GREY_MODES else "RGB")


def _transparent(image: Image.Image) -> bool:
    return "A" in image.getbands() or "transparency" in image.info


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names of classes, as numbers where all of them are whole numbers: 2 comes before 10."""
    found = sorted(set(names))
    if all(re.fullmatch("[0-9]{1,18}", name) for name in found):
        found.sort(key=int)
    return tuple(found)
