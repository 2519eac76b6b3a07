"""Ways of choosing tokens: greedy, beam search, sampling."""
