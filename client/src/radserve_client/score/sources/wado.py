"""A DICOMweb series or instance in, its DICOM files out (WADO-RS, PS3.18 10.4)."""

from __future__ import annotations

from functools import partial

from radserve_client.score.sources.access import Access
from radserve_client.score.sources.fingerprints import of_instances
from radserve_client.score.sources.http import ARCHIVE_INCOMPLETE, ArchiveFault, bad_answer, fetch
from radserve_client.score.sources.multipart import dicom_parts
from radserve_client.score.sources.part10 import sop_instance_uid

# as they are stored: a server that transcodes them would answer other bytes than were archived
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def retrieve(url: str, access: Access, fingerprint: str) -> list[bytes]:
    """The files of the instances that ``fingerprint`` stands for.

    They come sorted by their bytes: servers answer in any order, and the hash over them must not depend on it.

    Raises
    ------
    ArchiveFault
        The server does not answer, or not with these instances.
    """
    files = fetch(url, access, partial(dicom_parts, limit_bytes=access.limit_bytes), accept=ACCEPT)
    uids = [sop_instance_uid(file) for file in files]
    found = [uid for uid in uids if uid]
    if len(found) < len(files):
        raise bad_answer(f"{len(files) - len(found)} of {len(files)} parts of the answer are no DICOM files")
    if len(set(found)) < len(found):
        raise bad_answer(f"the answer has {len(found) - len(set(found))} instances twice")
    if of_instances(found) != fingerprint:
        message = f"the {len(found)} instances that were answered are not those that the server listed"
        raise ArchiveFault(ARCHIVE_INCOMPLETE, message, transient=True)
    return sorted(files)
