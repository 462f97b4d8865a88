"""Refuses images that would fill more memory than is free."""

import psutil


def check_memory(dataset: str, num_images: int, bytes_each: int, copies: int = 1) -> None:
    """Check that images fit in memory.

    Args:
        dataset: whose images they are, for the error.
        num_images: how many.
        bytes_each: of one image.
        copies: how often they are held at once.

    Raises:
        ValueError: there is not so much memory free.
    """
    free = psutil.virtual_memory().available
    needed = copies * num_images * bytes_each
    if needed > free:
        raise ValueError(
            f"{dataset}: {num_images:,} images of {bytes_each:,} bytes would fill {needed / 2**30:,.1f} GiB, "
            f"{free / 2**30:,.1f} GiB are free; give a smaller image_size"
        )
