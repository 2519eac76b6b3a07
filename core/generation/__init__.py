"""Writing a target: options, search, strategies, processors, scorers."""
