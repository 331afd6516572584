"""Runs of a sweep as jobs of a Slurm cluster: submitted, followed, attached to, cancelled."""
