"""The command `train_pair`: trains both sides of a shift."""
