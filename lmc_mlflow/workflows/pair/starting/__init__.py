"""Where both sides of a pair start, what they share before they part, and the epochs that are kept."""
