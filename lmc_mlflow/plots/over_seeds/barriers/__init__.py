"""Draws barriers over seeds: by network, shift, batch size and rate, noise, budget."""
