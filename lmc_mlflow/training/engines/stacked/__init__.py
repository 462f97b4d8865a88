"""Several MLPs trained at once: their draws, weights, passes, and an epoch of all of them."""
