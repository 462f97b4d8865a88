"""Claims of Sonthalia et al. (Starlight: star domains) beside the numbers computed from their published results."""
