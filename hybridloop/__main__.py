"""`python -m hybridloop` is `hybridloop`."""

from hybridloop.cli import main

main()
