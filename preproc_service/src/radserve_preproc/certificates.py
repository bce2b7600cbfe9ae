"""PEM files in, the moment at which the first certificate of each expires out, as a gauge.

Read at every scrape: files are renewed. X.509 is read as far as its validity and no further (RFC 5280, 4.1); whether a
certificate is any good, TLS decides.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
VERSION, UTC_TIME, GENERALIZED_TIME = 0xA0, 0x17, 0x18
"""ASN.1 tags: the optional version before the serial number, and the two ways to write a time."""
CENTURY_TURNS = 50
"""A UTCTime year below it is in this century (RFC 5280, 4.1.2.5.1)."""


class Certificates(Collector):
    """``radserve_certificate_expiry_timestamp_seconds``; a file that cannot be read now gives no sample."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The samples of a scrape."""
        family = GaugeMetricFamily(
            "radserve_certificate_expiry_timestamp_seconds",
            "When the first certificate of this file expires, in seconds since 1970",
            labels=("certificate",),
        )
        for name, path in self._files.items():
            try:
                family.add_metric((name,), expiry(path.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                continue  # TLS itself says so, and louder
        yield family


def expiry(pem: str) -> float:
    """Seconds since 1970 at which the first certificate of ``pem`` expires.

    Raises
    ------
    ValueError
        There is no certificate, or one that cannot be read.
    """
    blocks = PEM.findall(pem)
    if not blocks:
        raise ValueError("no certificate in it")
    try:
        return min(_not_after(ssl.PEM_cert_to_DER_cert(block)) for block in blocks)
    except IndexError:
        raise ValueError("a certificate in it is cut off") from None


def _not_after(der: bytes) -> float:
    """Certificate, TBSCertificate, Validity, notAfter."""
    (_, certificate), *_ = _elements(der)
    (_, signed), *_ = _elements(certificate)
    fields = [content for tag, content in _elements(signed) if tag != VERSION]
    _serial, _algorithm, _issuer, validity = fields[:4]
    _, (tag, text) = _elements(validity)[:2]
    return _moment(tag, text.decode("ascii")).timestamp()


def _moment(tag: int, text: str) -> datetime:
    if tag == UTC_TIME:
        text = ("20" if int(text[:2]) < CENTURY_TURNS else "19") + text
    elif tag != GENERALIZED_TIME:
        raise ValueError(f"tag {tag} is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each DER element that follows another in ``der``; IndexError when one is cut off."""
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:  # the long form: that many bytes of length
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size]), at + size
        if at + length > len(der):
            raise IndexError
        found.append((tag, der[at : at + length]))
        at += length
    return found
