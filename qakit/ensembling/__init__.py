"""Several runs as one: members, weights, figures, and the folder of the result."""
