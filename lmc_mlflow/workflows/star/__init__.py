"""The command `star`: trains and verifies a star network."""
