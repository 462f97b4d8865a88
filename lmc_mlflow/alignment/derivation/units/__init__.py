"""Units of axes, and the groups of units that must be permuted alike."""
