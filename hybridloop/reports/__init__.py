"""Reports of stored runs: HTML page, plots, bundle, export, verification, comparison of repetitions."""
