"""The rules by which operations tie the axes of their inputs and outputs."""
