"""Tables of the slides on linear mode connectivity up to permutation."""
