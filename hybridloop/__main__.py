"""`python -m hybridloop` is `hybridloop`."""

from hybridloop.cli import program

program()
