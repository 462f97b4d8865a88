"""The command `prune`: removes redundant units of logged networks."""
