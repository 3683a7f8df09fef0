"""Starts and stops the processes of a job: on this machine, or as pods of a cluster. `base.py` is the interface."""
