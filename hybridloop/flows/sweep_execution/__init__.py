"""Sweep execution."""
