"""Tools for tests and simulations against the emulator: a client's clock in the emulator's virtual time."""
