"""Fit the weights of every series that calls lack tokens of, and store them."""

import etl.estimate  # noqa: F401  before numpy
