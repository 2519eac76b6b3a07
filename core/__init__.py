"""The shared encoder-decoder core: no task and no modality of its own."""
