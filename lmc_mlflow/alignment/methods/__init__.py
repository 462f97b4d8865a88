"""Methods that find a permutation of one network's units."""
