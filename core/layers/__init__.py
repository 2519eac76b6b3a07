"""Building blocks of encoders and decoders: one concept a file."""
