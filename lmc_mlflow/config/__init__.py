"""Configurations: frozen dataclasses whose fields are flags, MLproject parameters and logged params."""
