"""Error mitigation: a machine's errors taken out of expectation values, with what that adds to the error bar."""
