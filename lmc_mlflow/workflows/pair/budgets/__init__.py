"""When the sides of a pair have trained enough, and the training until then."""
