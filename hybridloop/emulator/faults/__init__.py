"""Fault injection: errors, delays, broken connections and corrupt responses that a fault plan asks for.

A fault is injected on purpose, for tests of clients. What the API itself answers to an invalid request is an error.
"""
