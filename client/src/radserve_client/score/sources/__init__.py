"""Where items come from: folders, globs, lists, manifests and DICOMweb servers. Start reading in ``opening.py``."""

from radserve_client.score.sources.access import Access, access_from
from radserve_client.score.sources.opening import open_source
from radserve_client.score.sources.options import GroupBy, SourceOptions, options_for
from radserve_client.score.sources.source import Source

__all__ = ["Access", "GroupBy", "Source", "SourceOptions", "access_from", "open_source", "options_for"]
