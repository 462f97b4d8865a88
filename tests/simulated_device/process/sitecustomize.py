"""Gives a process and those that it starts simulated GPUs: SIMULATED_GPUS of them, where the variable is set."""

import atexit
import os

if os.environ.get("SIMULATED_GPUS"):
    from simulated_device import simulated_gpus

    gpus = simulated_gpus(int(os.environ["SIMULATED_GPUS"]))
    gpus.__enter__()
    atexit.register(gpus.__exit__, None, None, None)
