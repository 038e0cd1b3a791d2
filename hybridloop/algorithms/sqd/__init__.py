"""Sample-based quantum diagonalization (SQD): subspaces of determinants, their outcome, and comparisons."""
