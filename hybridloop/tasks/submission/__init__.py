"""Submission of rounds of jobs, with retries, polling and results."""
