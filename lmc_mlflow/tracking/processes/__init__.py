"""The process that writes runs: its tags, whether it is alive, its signals, and the launcher that started it."""
