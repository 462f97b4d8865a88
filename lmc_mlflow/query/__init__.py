"""What is in the store? The read side of the tracking server."""
