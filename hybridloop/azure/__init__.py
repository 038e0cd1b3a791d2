"""Client of the Azure Quantum service: workspaces, targets, sessions, jobs and blobs."""
