"""All that touches the service: workspace, transport, session, rounds, jobs, programs; plain Python, no Prefect."""
