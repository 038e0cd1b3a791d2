"""Choices of a preparation: each function returns what it chose, with its reason where the settings left it open."""
