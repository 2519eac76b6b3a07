"""Readers, collation, the bucketed sampler, datamodules."""
