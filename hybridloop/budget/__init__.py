"""Prices, caps, bills and cost summaries of runs."""
