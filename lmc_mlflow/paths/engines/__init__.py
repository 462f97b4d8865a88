"""Fast ways to measure a path, chosen by architecture."""
