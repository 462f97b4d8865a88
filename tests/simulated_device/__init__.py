"""Simulates GPUs in CPU memory, so that code for CUDA is tested on machines without a GPU."""

from simulated_device.counts import Counts as Counts
from simulated_device.counts import counted as counted
from simulated_device.installation import simulated_gpus as simulated_gpus
from simulated_device.machine import Machine as Machine
from simulated_device.streams import StreamRaceError as StreamRaceError
