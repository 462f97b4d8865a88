"""How is the makers' own split written as one number a patch?"""

from collections.abc import Mapping

OFFICIAL: Mapping[str, int] = {"train": 0, "validation": 1, "test": 2}
NOT_IN_SPLIT = 255
