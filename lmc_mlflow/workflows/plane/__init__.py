"""The command `plane`: measures the loss over the plane through three logged networks."""
