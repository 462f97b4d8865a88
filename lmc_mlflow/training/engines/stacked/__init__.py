"""Trains several MLPs at once: their draws, weights, forward and backward passes, and epochs."""
