"""Starts the real Triton server from its PyPI wheel, proves that it answers right, and stops it without a trace."""
