"""Storage of the emulator: the SQLite database of sessions, jobs and blob properties, its queries, and blobs' bytes."""
