"""Starts and stops the processes of a job: on this machine, later as pods of a cluster. `base.py` is the interface."""
