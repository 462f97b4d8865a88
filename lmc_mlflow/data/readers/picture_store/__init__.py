"""Image folders as prepared stores: decoded once, of one size, read picture by picture."""
