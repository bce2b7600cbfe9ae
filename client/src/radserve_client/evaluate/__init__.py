"""``radserve evaluate``: scored results and labels in, figures with intervals out. Start in ``evaluation.py``."""
