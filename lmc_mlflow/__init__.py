"""Linear mode connectivity under data shifts: trains, measures and compares networks, and logs all to MLflow."""

__version__ = "0.1.0"
