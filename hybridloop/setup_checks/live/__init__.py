"""Checks of what the product assumes of Azure Quantum, tried on a workspace's free targets (`doctor --live`)."""
