"""The life of a run: looked up, opened or resumed, continued from its progress, finished."""
