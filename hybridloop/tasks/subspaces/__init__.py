"""Diagonalization of subspaces (SQD) side by side on worker processes."""
