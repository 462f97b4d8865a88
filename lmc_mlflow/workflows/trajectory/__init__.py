"""The command `trajectory`: trains a logged network on and logs every epoch."""
