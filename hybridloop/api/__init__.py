"""Public functions: flows called as functions, with everything they need started around them."""
