"""Settings in, the credentials of every channel to Triton out; nothing where the settings ask for no TLS.

The files are checked when they are read: gRPC takes any bytes, and then fails each call without saying of which file.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from radserve_preproc.settings import ConfigurationError, Settings, variable

CA, CERTIFICATE, KEY = (variable(f"triton_{kind}_file") for kind in ("ca", "cert", "key"))


@dataclass(frozen=True, slots=True)
class Pem:
    """The contents of the files. Without certificate and key only the server proves who it is."""

    ca: bytes
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    def credentials(self) -> grpc.ChannelCredentials:
        """What a channel takes."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where they are. ``certificate`` and ``key`` are there together or not at all."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def read(self) -> Pem:
        """What is in the files now.

        Raises
        ------
        ConfigurationError
            A file cannot be read or is not what it should be; the message names the setting, never the content.
        """
        ca = _read(CA, self.ca)
        _check_ca(self.ca, ca)
        if self.certificate is None or self.key is None:
            return Pem(ca)
        certificate, key = _read(CERTIFICATE, self.certificate), _read(KEY, self.key)
        _check_pair(self.certificate, self.key, key)
        return Pem(ca, certificate, key)

    def with_certificates(self) -> dict[str, Path]:
        """The files whose expiry is worth watching, by what each is for."""
        return {"triton-ca": self.ca} | ({"triton-client": self.certificate} if self.certificate else {})


def tls_files(settings: Settings) -> TlsFiles | None:
    """The files that the settings name; None where they name none, which is no TLS."""
    ca, certificate, key = settings.triton_ca_file, settings.triton_cert_file, settings.triton_key_file
    if not ca:
        return None
    return TlsFiles(Path(ca), Path(certificate) if certificate else None, Path(key) if key else None)


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot read {path}: {error.strerror}") from None


def _check_ca(path: Path, content: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise ConfigurationError(f"{CA}: {path} holds no certificate in PEM form that can be read") from None


def _check_pair(certificate: Path, key: Path, content: bytes) -> None:
    if b"ENCRYPTED" in content:
        raise ConfigurationError(f"{KEY}: {key} is locked with a passphrase; the service needs one without")
    _check_has(CERTIFICATE, certificate, "CERTIFICATE")
    _check_has(KEY, key, "PRIVATE KEY")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"{KEY}: {key} is not the key of the certificate {certificate}") from None
        raise ConfigurationError(f"{CERTIFICATE}, {KEY}: {certificate} or {key} is damaged") from None


def _check_has(name: str, path: Path, kind: str) -> None:
    if f"{kind}-----".encode() not in _read(name, path):
        raise ConfigurationError(f"{name}: {path} holds no {kind.lower()} in PEM form")
