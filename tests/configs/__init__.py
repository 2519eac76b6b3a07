"""Every recipe runs."""
