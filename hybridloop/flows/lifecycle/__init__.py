"""A run inside its flow run: workspace, session, progress, end and cancellation."""
