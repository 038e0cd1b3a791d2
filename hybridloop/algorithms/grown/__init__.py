"""Circuits that are grown on this computer, by the energy that an operator gains for each two-qubit gate."""
