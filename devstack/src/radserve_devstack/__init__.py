"""Synthetic studies, and both servers on one machine: for the demo, the tests and the benchmarks."""
