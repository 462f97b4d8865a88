"""The command `trajectory`: trains a logged network further and logs the network of every epoch."""
