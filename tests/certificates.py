"""A folder in, a certificate authority out that signs what a test asks for: OpenSSL's own, valid for two days."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.debian import debian_tool

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
# nothing of the machine's openssl.cnf
CONFIG = """\
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
"""


@dataclass(frozen=True, slots=True)
class Issued:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs with the key of ``root``; its folder keeps everything it makes."""

    folder: Path
    root: Issued

    def issue(self, name: str, *names: str) -> Issued:
        """A certificate called ``name``, a server's for names such as ``DNS:*.example`` or ``IP:127.0.0.1``."""
        issued = Issued(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName = {', '.join(names or (f'DNS:{name}',))}\n")
        _openssl("req", "-new", *CURVE, *self._config, "-subj", f"/CN={name}", "-keyout", issued.key, "-out", request)
        root = ["-CA", self.root.certificate, "-CAkey", self.root.key, "-CAcreateserial"]
        _openssl(
            "x509", "-req", "-in", request, *root, "-days", "2", "-extfile", extensions, "-out", issued.certificate
        )
        return issued

    @property
    def _config(self) -> list[str | Path]:
        return ["-config", self.folder / "openssl.cnf"]


def authority(folder: Path) -> Authority:
    """A new authority in ``folder``; skips, or fails in CI, without OpenSSL."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "openssl.cnf"
    config.write_text(CONFIG)
    root = Issued(folder / "ca.crt", folder / "ca.key")
    subject = ["-subj", f"/CN=authority of {folder.name}", "-extensions", "ca", "-days", "2"]
    _openssl("req", "-x509", *CURVE, "-config", config, *subject, "-keyout", root.key, "-out", root.certificate)
    return Authority(folder, root)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([debian_tool("openssl"), *arguments], check=True, capture_output=True)
