"""The plain network: one set of weights, one function. Members of a deep ensemble are made of it."""

from plausible.train.hooks import Method

METHOD = Method()
