"""Binary optimization problems, and classical searches for their optimum."""
