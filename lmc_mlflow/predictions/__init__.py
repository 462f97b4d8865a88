"""Scores predictions: loss, accuracy, agreement, calibration, ensembles; builds and runs no network."""
