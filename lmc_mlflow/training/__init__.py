"""Training: noise, engines, the loop over epochs, and the state from which it continues."""
