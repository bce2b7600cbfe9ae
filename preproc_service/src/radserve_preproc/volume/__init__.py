"""CT studies in, one volume out: DICOM series and Enhanced CT (``series.py``), NIfTI files, and zips of series."""

from radserve_preproc.volume.series import decode_series

__all__ = ["decode_series"]
