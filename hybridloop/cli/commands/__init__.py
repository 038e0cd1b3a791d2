"""Commands of `hybridloop`, one module for each group."""
