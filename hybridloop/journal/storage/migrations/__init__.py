"""Migrations of the journal's schema, run by Alembic: one step per file in `versions`."""
