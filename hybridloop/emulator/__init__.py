"""Local Azure Quantum service: the HTTP API that the `azure-quantum` SDK calls, in a process of its own.

From the bottom up: `model` has the rules as pure values, `store` the SQLite database and the blobs, `formats` and
`simulation` run circuits, `service` has the operations, `http`, `admin` and `portal` the endpoints, `faults` injects
errors on purpose. `server` wires them together. Nothing here imports another part of hybridloop.
"""
