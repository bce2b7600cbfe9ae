"""PEM files of OpenSSL to the moment at which they expire."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from radserve_preproc.certificates import expiry
from radserve_preproc.metrics import Metrics

GAUGE = "radserve_certificate_expiry_timestamp_seconds"


def certificate(folder: Path, name: str, *, days: int, key: str = "ec") -> Path:
    """A certificate that OpenSSL signs with its own key; skips where there is no OpenSSL."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl on this machine; on Debian and Ubuntu: apt-get install openssl")
    path = folder / f"{name}.pem"
    kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}[key]
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", *kind, "-subj", f"/O=Radiology/CN={name}"]
    command += [
        "-addext",
        f"subjectAltName=DNS:{name}",
        "-days",
        str(days),
        "-out",
        path,
        "-keyout",
        folder / "key.pem",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return path


def enddate(path: Path) -> float:
    """What OpenSSL says."""
    said = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-enddate"], capture_output=True, check=True)
    return float(ssl.cert_time_to_seconds(said.stdout.decode().strip().removeprefix("notAfter=")))


# 20,000 days reach beyond 2049: another way to write the time (RFC 5280, 4.1.2.5)
@pytest.mark.parametrize(("days", "key"), [(30, "ec"), (30, "rsa"), (20_000, "ec")])
def test_the_end_is_what_openssl_says(tmp_path: Path, days: int, key: str) -> None:
    path = certificate(tmp_path, "triton", days=days, key=key)
    assert expiry(path.read_text()) == enddate(path)
    assert (datetime.fromtimestamp(enddate(path), UTC).year > 2049) == (days > 10_000)


def test_of_a_chain_the_first_end_counts(tmp_path: Path) -> None:
    long, short = (certificate(tmp_path, name, days=days) for name, days in (("ca", 90), ("leaf", 5)))
    text = "A comment\n" + long.read_text() + (tmp_path / "key.pem").read_text() + short.read_text()
    assert expiry(text) == enddate(short)


@pytest.mark.parametrize("damage", [lambda _: "", lambda text: text.replace("CERTIFICATE", "KEY"), lambda _: "text"])
def test_no_certificate_is_an_error(tmp_path: Path, damage: object) -> None:
    text = certificate(tmp_path, "triton", days=5).read_text()
    with pytest.raises(ValueError, match="no certificate"):
        expiry(damage(text))


def test_a_certificate_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    der = ssl.PEM_cert_to_DER_cert(certificate(tmp_path, "triton", days=5).read_text())
    for length in range(1, len(der), 7):
        with pytest.raises(ValueError):
            expiry(ssl.DER_cert_to_PEM_cert(der[:length]))


def test_a_renewed_file_shows_at_the_next_scrape_and_a_missing_one_not_at_all(tmp_path: Path) -> None:
    server = certificate(tmp_path, "server", days=5)
    metrics = Metrics()
    metrics.show_certificates({"server": server, "triton-ca": tmp_path / "nothing.pem"})
    first = metrics.registry.get_sample_value(GAUGE, {"certificate": "server"})
    assert first == enddate(server)
    server.write_text(certificate(tmp_path, "renewed", days=90).read_text())
    assert metrics.registry.get_sample_value(GAUGE, {"certificate": "server"}) > first
    assert metrics.registry.get_sample_value(GAUGE, {"certificate": "triton-ca"}) is None
    server.write_text("-----BEGIN CERTIFICATE-----\nhalf")
    assert metrics.registry.get_sample_value(GAUGE, {"certificate": "server"}) is None
