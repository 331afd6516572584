"""The runs of a sweep on this machine: a pool of worker processes, on slots of its GPUs or cores."""
