"""Deployments of runs in Prefect: created or updated by a command, read by the runs that they start."""
