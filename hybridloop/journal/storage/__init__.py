"""Storage of the journal: database, schema and its migrations, encoding of values, rows with checksums."""
