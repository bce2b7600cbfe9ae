"""The CT half of the benchmarks; ``run.measured`` is its table of contents."""
