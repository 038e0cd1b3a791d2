"""Bundles of stored runs: files with checksums, as a folder or a zip file."""
