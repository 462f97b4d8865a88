"""How are runs written? The write side of the tracking server."""
