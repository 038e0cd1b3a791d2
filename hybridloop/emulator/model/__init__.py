"""Domain model of the service as pure values: sessions, jobs, targets, prices, latency, requests and programs.

No storage, no HTTP, no clock. `targets.json`, `prices.json` and `latency.json` are its data, with their sources.
"""
