"""Fit the weights of every series that calls lack tokens of, and store them."""
