"""Shortens an error to the one line that a message quotes, and a value to what a line can hold."""

LONGEST = 200
"""Characters of a value or a reason that a message repeats."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has no text."""
    return shortened(next(iter(str(error).strip().splitlines()), type(error).__name__), 2 * LONGEST)


def shortened(text: str, most: int = LONGEST) -> str:
    """Return a text; of one with more characters the beginning, and how many it has."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"
