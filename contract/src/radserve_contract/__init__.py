"""The facts every part of radserve shares: pipeline specs in, nothing out but values. No I/O, no torch."""
