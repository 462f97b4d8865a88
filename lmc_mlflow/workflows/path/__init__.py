"""The command `interpolate`: measures and logs the path between two logged networks."""
