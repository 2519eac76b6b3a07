"""N-gram language models over a checkpoint's own target tokens: made, kept in files, and heard in generation."""
