"""Corpus metrics, each scored by the package whose numbers people compare."""
