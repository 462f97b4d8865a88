"""Shortens an error to the one line that a message quotes."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has no text."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
