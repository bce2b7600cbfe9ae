"""Decoded images in, the input tensors of the networks out: one module per way of preparing them."""
