"""TLS to Triton: bad files are refused by name, who has no certificate gets nothing, renewals are taken."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from radserve_contract.pipelines import spine
from radserve_preproc import triton_channel
from radserve_preproc.app import create_app
from radserve_preproc.errors import Unavailable
from radserve_preproc.main import main
from radserve_preproc.settings import ConfigurationError, Settings, load
from radserve_preproc.triton_grpc import TritonGrpc
from radserve_preproc.triton_tls import TlsFiles, tls_files
from tests.certificates import Authority, Issued, authority
from tests.debian import debian_tool
from tests.fake_triton import FakeTriton
from tests.fake_triton_server import Servicer, served
from tests.preproc_service.test_triton_channel import ready_soon, until
from tests.preproc_service.test_triton_grpc import MODEL, infer

HERE = "IP:127.0.0.1"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs for both sides."""
    return authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Somebody else."""
    return authority(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def server(ours: Authority) -> Issued:
    """Triton's certificate."""
    return ours.issue("triton", HERE)


@pytest.fixture(scope="module")
def client(ours: Authority) -> Issued:
    """The service's."""
    return ours.issue("service")


def files_of(root: Authority, issued: Issued | None = None) -> TlsFiles:
    """The service's files: whom it trusts, and who it is."""
    return TlsFiles(root.root.certificate, issued.certificate if issued else None, issued.key if issued else None)


@asynccontextmanager
async def triton(
    server: Issued, *, asks: Authority | None = None, fake: FakeTriton | None = None
) -> AsyncIterator[str]:
    """A server with a certificate that asks for one of an authority; its address."""
    pair = (server.key.read_bytes(), server.certificate.read_bytes())
    root = asks.root.certificate.read_bytes() if asks else None
    credentials = grpc.ssl_server_credentials([pair], root, require_client_auth=asks is not None)
    async with served(Servicer(fake or FakeTriton()), credentials=credentials) as port:
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def connected(address: str, tls: TlsFiles | None) -> AsyncIterator[TritonGrpc]:
    grpc_client = TritonGrpc(address, tls=tls)
    try:
        yield grpc_client
    finally:
        await grpc_client.close()


def test_without_a_client_certificate_the_server_alone_proves_itself(ours: Authority, server: Issued) -> None:
    async def run() -> None:
        async with triton(server) as address, connected(address, files_of(ours)) as grpc_client:
            assert (await infer(grpc_client)).model_version == "1"

    asyncio.run(run())


def test_with_one_both_sides_do(ours: Authority, server: Issued, client: Issued) -> None:
    async def run() -> None:
        async with triton(server, asks=ours) as address, connected(address, files_of(ours, client)) as grpc_client:
            assert (await infer(grpc_client)).model_version == "1"

    asyncio.run(run())


@pytest.mark.parametrize("who", ["no TLS", "no certificate", "a stranger's certificate"])
def test_nobody_else_gets_an_answer(
    who: str, ours: Authority, theirs: Authority, server: Issued, caplog: pytest.LogCaptureFixture
) -> None:
    tls = {
        "no TLS": lambda: None,
        "no certificate": lambda: files_of(ours),
        "a stranger's certificate": lambda: files_of(ours, theirs.issue("stranger")),
    }[who]()

    async def run() -> None:
        async with triton(server, asks=ours) as address, connected(address, tls) as grpc_client:
            with pytest.raises(Unavailable, match="does not answer"):
                await infer(grpc_client)

    asyncio.run(run())
    assert [record.grpc_status for record in caplog.records if record.message == "triton call failed"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", ["signed by a stranger", "for another name"])
def test_an_impostor_is_not_spoken_to_and_the_log_says_why(
    fault: str, ours: Authority, theirs: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    impostor = theirs.issue("triton", HERE) if fault == "signed by a stranger" else ours.issue("other", "DNS:other")
    fake = FakeTriton()

    async def run() -> None:
        async with triton(impostor, fake=fake) as address, connected(address, files_of(ours)) as grpc_client:
            with pytest.raises(Unavailable):
                await grpc_client.ready(MODEL)
            with pytest.raises(Unavailable):
                await infer(grpc_client)

    asyncio.run(run())
    assert fake.calls == []
    said = " ".join(str(getattr(record, "triton_said", "")) for record in caplog.records)
    assert ("CERTIFICATE_VERIFY_FAILED" if fault == "signed by a stranger" else "127.0.0.1") in said


def test_a_question_that_fails_every_second_is_not_logged_every_second(
    ours: Authority, theirs: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with triton(theirs.issue("triton", HERE)) as address, connected(address, files_of(ours)) as grpc_client:
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await grpc_client.ready(MODEL)

    asyncio.run(run())
    assert len([record for record in caplog.records if record.message == "triton call failed"]) == 1


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are compared twenty times a second."""
    monkeypatch.setattr(triton_channel, "LOOK_S", 0.05)
    monkeypatch.setattr(triton_channel, "CERTIFICATES_S", 0.05)


def copied(issued: Issued, to: TlsFiles) -> None:
    assert to.certificate is not None
    assert to.key is not None
    shutil.copy(issued.key, to.key)
    shutil.copy(issued.certificate, to.certificate)


@pytest.mark.usefixtures("hasty")
def test_renewed_certificates_are_taken_without_a_restart_and_lose_no_call(
    tmp_path: Path, ours: Authority, theirs: Authority, server: Issued, client: Issued
) -> None:
    """What the client starts with is good for the first server only; the second one asks for what it is renewed to."""
    files = TlsFiles(ours.root.certificate, tmp_path / "tls.crt", tmp_path / "tls.key")
    copied(theirs.issue("old"), files)
    going_on, release = asyncio.Event(), asyncio.Event()

    async def slow(model: str, tensors: Any) -> Any:
        going_on.set()
        await release.wait()
        return FakeTriton().answer(model, tensors)

    async def run() -> None:
        first = triton(server, asks=theirs, fake=FakeTriton(slow))
        async with first as address, connected(address, files) as grpc_client:
            call = asyncio.create_task(infer(grpc_client, timeout_s=60))
            await going_on.wait()
            before = grpc_client.connection
            copied(client, files)
            await until(lambda: grpc_client.connection > before)
            release.set()
            assert (await call).model_version == "1", "the call went on over the old connection"
            with pytest.raises(Unavailable):
                await grpc_client.ready(MODEL)  # the renewed one is not what this server asks for
        async with triton(server, asks=ours) as address, connected(address, files) as grpc_client:
            await ready_soon(grpc_client)

    asyncio.run(run())


@pytest.mark.usefixtures("hasty")
def test_half_a_renewal_changes_nothing_and_is_logged_once(
    tmp_path: Path, ours: Authority, server: Issued, client: Issued, caplog: pytest.LogCaptureFixture
) -> None:
    files = TlsFiles(ours.root.certificate, tmp_path / "tls.crt", tmp_path / "tls.key")
    copied(client, files)

    def complaints() -> list[str]:
        return [record.why for record in caplog.records if "renewed certificates" in record.message]  # type: ignore[attr-defined]

    async def run() -> None:
        async with triton(server, asks=ours) as address, connected(address, files) as grpc_client:
            await ready_soon(grpc_client)
            shutil.copy(ours.issue("next").key, tmp_path / "tls.key")
            await until(lambda: bool(complaints()))
            await asyncio.sleep(0.5)  # some ten looks more
            assert await grpc_client.ready(MODEL)
            copied(ours.issue("after"), files)
            await until(lambda: grpc_client.connection > 0)
            await ready_soon(grpc_client)

    asyncio.run(run())
    assert len(complaints()) == 1
    assert "is not the key of the certificate" in complaints()[0]


def missing(files: dict[str, Path], ours: Authority) -> None:
    files["ca"] = files["ca"].with_name("nothing.pem")


def a_folder(files: dict[str, Path], ours: Authority) -> None:
    files["key"] = files["key"].parent


def no_pem(files: dict[str, Path], ours: Authority) -> None:
    files["ca"].write_bytes(b"\x30\x82\x01\x0a\xff")


def empty(files: dict[str, Path], ours: Authority) -> None:
    files["ca"].write_bytes(b"")


def cut_off(files: dict[str, Path], ours: Authority) -> None:
    text = files["cert"].read_text()
    files["cert"].write_text(text[:200] + text[-30:])


def swapped(files: dict[str, Path], ours: Authority) -> None:
    files["cert"], files["key"] = files["key"], files["cert"]


def of_another(files: dict[str, Path], ours: Authority) -> None:
    files["key"] = ours.issue("another").key


def locked(files: dict[str, Path], ours: Authority) -> None:
    key, shut = files["key"], files["key"].with_suffix(".locked")
    command = [debian_tool("openssl"), "pkcs8", "-topk8", "-in", key, "-out", shut, "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)
    files["key"] = shut


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing, "RADSERVE_TRITON_CA_FILE: cannot read .*nothing.pem: No such file"),
        (a_folder, "RADSERVE_TRITON_KEY_FILE: cannot read .*: Is a directory"),
        (no_pem, "RADSERVE_TRITON_CA_FILE: .* holds no certificate in PEM form"),
        (empty, "RADSERVE_TRITON_CA_FILE: .* holds no certificate in PEM form"),
        (cut_off, "RADSERVE_TRITON_CERT_FILE, RADSERVE_TRITON_KEY_FILE: .* is damaged"),
        (swapped, "RADSERVE_TRITON_CERT_FILE: .* holds no certificate in PEM form"),
        (of_another, "RADSERVE_TRITON_KEY_FILE: .* is not the key of the certificate"),
        (locked, "RADSERVE_TRITON_KEY_FILE: .* is locked with a passphrase"),
    ],
)
def test_a_file_that_is_no_good_stops_the_start_and_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ours: Authority,
    spoil: Callable[[dict[str, Path], Authority], None],
    said: str,
) -> None:
    issued = ours.issue("service")
    sources = {"ca": ours.root.certificate, "cert": issued.certificate, "key": issued.key}
    files = {name: Path(shutil.copy(path, tmp_path)) for name, path in sources.items()}
    spoil(files, ours)
    settings = Settings(**{f"triton_{name}_file": str(path) for name, path in files.items()})
    with pytest.raises(ConfigurationError, match=said) as caught:
        create_app(settings)
    assert "BEGIN" not in str(caught.value)
    for name, path in files.items():
        monkeypatch.setenv(f"RADSERVE_TRITON_{name.upper()}_FILE", str(path))
    monkeypatch.setattr("radserve_preproc.log.configure", lambda level: logging.getLogger())
    assert main([]) == 2
    assert str(caught.value) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("CA", "CERT"), "belong together; one is missing"),
        (("CA", "KEY"), "belong together; one is missing"),
        (("CERT", "KEY"), "without RADSERVE_TRITON_CA_FILE"),
    ],
)
def test_files_without_those_that_go_with_them_are_refused(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load({f"RADSERVE_TRITON_{name}_FILE": f"/{name}.pem" for name in given})


def test_without_files_there_is_no_tls() -> None:
    assert tls_files(Settings()) is None


def test_the_expiry_of_each_certificate_is_a_metric(ours: Authority, client: Issued) -> None:
    """And the key is no certificate."""
    shows: list[Any] = []
    app = create_app(
        Settings(
            triton_ca_file=str(ours.root.certificate),
            triton_cert_file=str(client.certificate),
            triton_key_file=str(client.key),
        ),
        connect=lambda settings, metrics: shown(metrics),
        specs=(spine.SPEC,),
    )

    def shown(metrics: Any) -> FakeTriton:
        shows.extend(metrics.registry.collect())
        return FakeTriton()

    async def run() -> None:
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(run())
    (family,) = [family for family in shows if family.name == "radserve_certificate_expiry_timestamp_seconds"]
    assert {sample.labels["certificate"] for sample in family.samples} == {"triton-ca", "triton-client"}
    assert all(0 < sample.value - time.time() < 3 * 86400 for sample in family.samples)


def test_the_key_is_not_shown_by_what_holds_it(ours: Authority, client: Issued) -> None:
    assert "PRIVATE" not in repr(files_of(ours, client).read())
