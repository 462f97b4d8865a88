"""Trains and measures a star: one network on low segments with many others (Sonthalia et al., Starlight)."""
