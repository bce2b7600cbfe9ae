"""``radserve score``: an archive in, a Parquet dataset out. Start reading in ``run.py``."""
