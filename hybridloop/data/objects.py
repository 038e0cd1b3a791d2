"""Names of what only the calling program has."""

OBJECT = "object:"  # begins the name of an optimizer that is an object of that program
