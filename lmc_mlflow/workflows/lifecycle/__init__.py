"""The life of a run: found again, opened, resumed, kept, finished."""
