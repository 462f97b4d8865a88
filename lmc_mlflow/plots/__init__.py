"""What do the numbers look like? Figures from tables; never opens a file or a run."""
