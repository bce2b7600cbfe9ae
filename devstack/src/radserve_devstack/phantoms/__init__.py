"""Synthetic studies drawn from numbers: no patient, no network, no random state of the machine."""
