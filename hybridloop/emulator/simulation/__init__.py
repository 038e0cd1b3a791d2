"""Circuit simulation with Aer: method and memory, noise, sampling, and the worker processes that jobs run in."""
