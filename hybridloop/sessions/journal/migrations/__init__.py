"""How the journal's schema came about: one step a file in `versions`, run by Alembic."""
