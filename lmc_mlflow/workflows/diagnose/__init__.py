"""Diagnoses two logged networks, and logs a page that names the causes."""
