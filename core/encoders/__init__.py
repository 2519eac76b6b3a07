"""Encoders of all modalities."""
