"""Answers that are found in a text: passages cut into windows, a model that points at spans, and the best of them."""
