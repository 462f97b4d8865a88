"""The command `matrix`: measures the segments between many logged networks."""
