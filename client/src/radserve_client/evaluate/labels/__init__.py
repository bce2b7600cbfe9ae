"""Label files of the public data sets in, one ``LabelTable`` out. The formats stand in ``formats.py``."""
