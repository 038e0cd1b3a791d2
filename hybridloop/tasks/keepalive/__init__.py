"""Keepalive."""
