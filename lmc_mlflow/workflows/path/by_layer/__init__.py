"""Measures paths layer by layer, for the option `layers` of `interpolate`."""
