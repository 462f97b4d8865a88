"""Training engines: the exact loop, channels last for convolutions, stacked weights for MLPs."""
