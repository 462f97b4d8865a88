"""Connects to the tracking store: asks whether it answers, makes its client, waits where it fails."""
