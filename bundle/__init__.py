"""One archive with which a site without internet installs radserve: ``python -m bundle``, run by ``make bundle``.

contents.py is the table of contents; archive.py writes what it lists.
"""
