"""The Prefect tasks, as a user sees them in the UI: open the session, run a round, close; skins over `sessions`."""
