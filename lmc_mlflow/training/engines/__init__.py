"""Training engines: channels last for convolutions, stacked weights for many networks."""
