"""Shifts: how a data set is divided between side A and side B."""
