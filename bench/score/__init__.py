"""The batch scorer (``radserve score``): (j) throughput, (k) memory, (l) resume."""
