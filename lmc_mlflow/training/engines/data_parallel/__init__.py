"""Data parallel training: several processes, a device each, share every batch of a network."""
