"""VQE: its search and final measurement, the test of simulated angles, and its claims."""
