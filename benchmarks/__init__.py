"""Speed and quality against peers, each a command."""
