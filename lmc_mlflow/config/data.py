"""The options that say what the images are."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option, write_value

GIVEN = "given"
"""The normalization by numbers that the user gives."""
NORMALIZATIONS = ("centered", "half", "unit")
"""Those that need no numbers."""


@dataclass(frozen=True)
class DataConfig(Section):
    """Which images the two sides see, and how they are scaled."""

    dataset: str = option("digits", "where images and labels come from", own_code=True)
    data_root: str = option(
        "data", "folder the data set is in, or is downloaded to on first use (digits needs none)", identity=False
    )
    image_size: int | None = option(
        None,
        "resize every image to this height and width in pixels (bilinear, antialiased); auto: all keep their one size",
        minimum=1,
    )
    channels: str = option(
        "auto", "3: grey images are repeated in three channels; 1: images are grey already", choices=("auto", "1", "3")
    )
    shift: str = option("label_5050", "what makes the two training subsets differ", own_code=True)
    test_split: str = option(
        "auto",
        "which images are for testing; official: as the data set says; random80: four fifths for training, by "
        "split_seed; auto: random80 for bigearthnet (the paper's), official for all others",
        choices=("auto", "official", "random80"),
    )
    validation: str = option(
        "unused",
        "what a data set's validation images are for: left unused, or added to training",
        choices=("unused", "train"),
    )
    split_seed: int = option(0, "seed of every split, independent of all other seeds", minimum=0)
    normalization: str = option(
        "centered",
        "centered: per-channel mean 0 and standard deviation 1; half: (x - 0.5) / 0.5; unit: [0, 1]; "
        "given: (x - mean) / std",
        choices=(*NORMALIZATIONS, GIVEN),
    )
    mean: tuple[float, ...] = option(
        (),
        "normalization=given: what is taken from pixels in [0, 1]; one number, or one a channel, comma-separated",
        only_with={"normalization": GIVEN},
    )
    std: tuple[float, ...] = option(
        (),
        "normalization=given: what they are divided by then; one number, or one a channel, comma-separated",
        minimum=1e-6,
        only_with={"normalization": GIVEN},
    )
    augmentation: str = option(
        "auto",
        "flip: random horizontal flips; translate: random translations; flip_crop: flips, and random crops of the "
        "image with black pixels around it; flip_resized_crop: flips, and random boxes of the image brought to its "
        "size; auto: as is usual for the data set",
        choices=("auto", "none", "flip", "translate", "flip_translate", "flip_crop", "flip_resized_crop"),
    )
    translate_pixels: int = option(
        2, "largest translation in each direction, in pixels; pixels from outside are 0", minimum=1, maximum=1000
    )
    crop_padding: int | None = option(
        None,
        "black pixels on each side of an image before its crop; auto: an eighth of its smaller side, 4 of 32",
        minimum=1,
        maximum=1000,
        only_with={"augmentation": "flip_crop"},
    )
    memory_gb: float = option(
        4.0,
        "if the images of a side or of the test set would fill more memory than this, they are read batch by batch",
        minimum=0.0,
        identity=False,
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if not self.translates and self.translate_pixels != 2:
            raise ValueError(
                f"translate_pixels belongs to augmentation=translate or flip_translate, not {self.augmentation}; "
                "leave it out"
            )
        if self.normalization == GIVEN and not (self.mean and self.std):
            raise ValueError(
                "normalization=given needs mean and std, as in mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
            )
        counts = {len(self.mean), len(self.std)} - {0, 1}
        if len(counts) > 1:
            raise ValueError(
                f"mean has {len(self.mean)} numbers and std {len(self.std)}; give one for each channel, or one for all"
            )

    @property
    def scaling(self) -> str:
        """Return the normalization with its numbers: equal texts scale equal data alike."""
        if self.normalization != GIVEN:
            return self.normalization
        mean, std = (write_value(values[:1] if len(set(values)) == 1 else values) for values in (self.mean, self.std))
        return f"{GIVEN} mean={mean} std={std}"

    @property
    def translates(self) -> bool:
        """Return whether images are translated at random."""
        return self.augmentation in ("translate", "flip_translate")

    @property
    def crops(self) -> bool:
        """Return whether images with a black border are cropped at random."""
        return self.augmentation == "flip_crop"

    @property
    def resizes(self) -> bool:
        """Return whether random boxes of the images are brought to their size."""
        return self.augmentation == "flip_resized_crop"

    def largest_move(self, height: int, width: int) -> int:
        """Return by how many pixels images of this size are moved at most, by translations or by crops."""
        if self.crops:
            return max(1, min(height, width) // 8) if self.crop_padding is None else self.crop_padding
        return self.translate_pixels if self.translates else 0


@dataclass(frozen=True)
class ShiftTestConfig(Section):
    """How the shift between the two sides is measured."""

    c2st_samples: int = option(
        1000,
        "images of both sides together for the classifier two-sample test (accuracy 0.5: no shift); 0: not measured",
        minimum=0,
        identity=False,
    )


@dataclass(frozen=True)
class PrepareConfig(Section):
    """Which bands of a raw archive, or which pictures, become a store that training can read fast."""

    dataset: str = option("bigearthnet", "which data set is prepared", choices=("bigearthnet", "imagefolder"))
    data_root: str = option(
        "data",
        "bigearthnet: folder of the archive as it unpacks (GeoTIFFs or the makers' LMDB); imagefolder: folder with "
        "train/<class>/ and test/<class>/",
    )
    bands: tuple[str, ...] = option(
        ("B02", "B08"),
        "bands or combinations (natural, infrared, agriculture)",
        only_with={"dataset": "bigearthnet"},
    )
    image_size: int | None = option(
        None,
        "height and width in pixels that pictures are brought to; auto: all have one size",
        minimum=1,
        only_with={"dataset": "imagefolder"},
    )
    store: str = option("", "folder of the store; empty: lmc_store below data_root")
    processes: int | None = option(None, "processes that convert; auto: one for each core", minimum=1)
    verify: bool = option(False, "true: read a finished store again and compare it with its checksums")
