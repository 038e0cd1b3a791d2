"""QAOA and recursive QAOA, beside a classical descent."""
