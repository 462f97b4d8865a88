"""The command `align`: permutes one logged network towards another."""
