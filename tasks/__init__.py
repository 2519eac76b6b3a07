"""The six tasks: each a folder with a module, a datamodule, metrics and a README."""
