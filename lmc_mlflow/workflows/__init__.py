"""The commands: configurations and run ids in, run ids out; every piece of work is a tracked run."""
