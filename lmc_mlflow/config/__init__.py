"""What can a user set? Frozen dataclasses that are flags, MLproject parameters and logged params at once."""
