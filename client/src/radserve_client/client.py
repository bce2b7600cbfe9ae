"""A study in, the service's answer out: the public Python API.

>>> with Client("http://127.0.0.1:8080") as client:          # doctest: +SKIP
...     answer = client.predict("film.dcm", priority="stat")
...     print(answer.findings.decision.label, answer.findings.decision.probability)
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from radserve_client.answer import Answer, read_answer, read_refusal, read_served
from radserve_client.errors import BadAnswer, ClientTimeout, Refused, Unreachable, UnreadableFile
from radserve_client.pauses import pause_s
from radserve_client.served import Served
from radserve_client.settings import PREFIX, ClientSettings, checked_url, load_settings

Study = bytes | str | Path | Sequence[bytes | str | Path]
PART_NAME = "study"  # sent instead of the local file name, which may hold a patient's


class Client:
    """A connection to one radserve service; threads may share it. Close it, or use it in a ``with`` block.

    ``settings`` default to the environment's ``RADSERVE_CLIENT_*``; ``url`` overrides its address.

    Raises
    ------
    ValueError
        The address is none, or a setting does not fit; the message names it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        settings: ClientSettings | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings or load_settings()
        self.url = str(self.settings.url if url is None else checked_url(url)).rstrip("/")
        self._sleep = sleep
        # trust_env: a proxy of the machine must not get the images of a service on its own network
        self._http = httpx.Client(
            base_url=self.url,
            timeout=httpx.Timeout(self.settings.timeout_s, connect=self.settings.connect_timeout_s),
            verify=certificates(self.settings.ca_file),
            trust_env=False,
        )

    def predict(
        self,
        study: Study,
        *,
        pipeline: str = "spine",
        profile: str | None = None,
        priority: str | None = None,
        detect: str | None = None,
        series: str | None = None,
    ) -> Answer:
        """Findings of one study: a path, the bytes of a file, or several of these for a CT series.

        What is None is left to the service; ``series`` is the Series Instance UID to analyse when several are sent.

        Raises
        ------
        ClientError
            See ``errors.py``; ``Refused`` when the service gives a reason, after the last try for 429.
        """
        query = {"profile": profile, "priority": priority, "detect": detect, "series": series}
        return read_answer(self._post(pipeline, study, query, accept="application/json"))

    def overlay(
        self,
        study: Study,
        *,
        pipeline: str = "spine",
        profile: str | None = None,
        priority: str | None = None,
        detect: str | None = None,
        series: str | None = None,
        full_size: bool = False,
        kind: str | None = None,
        scale: str | None = None,
        head: str | None = None,
    ) -> bytes:
        """PNG of what was found: its boxes, plot, montage, ... Analyses the study anew. Raises as ``predict`` does.

        ``kind`` is a value of ``overlay`` that the pipeline lists as one of its pictures; ``scale`` and ``head`` belong
        to heat maps and activation maps.
        """
        query = {
            "profile": profile,
            "priority": priority,
            "detect": detect,
            "series": series,
            "overlay_size": "full" if full_size else None,
            "overlay": kind,
            "scale": scale,
            "head": head,
        }
        response = self._post(pipeline, study, query, accept="image/png")
        if not response.content.startswith(b"\x89PNG\r\n\x1a\n"):
            raise BadAnswer(f"{self.url} answered an overlay request with something that is no PNG")
        return response.content

    def mask(
        self,
        study: Study,
        *,
        pipeline: str,
        profile: str | None = None,
        priority: str | None = None,
        series: str | None = None,
    ) -> bytes:
        """Gzipped NIfTI of what a segmentation marks, on the grid of the study. Raises as ``predict`` does."""
        query = {"profile": profile, "priority": priority, "series": series}
        response = self._post(pipeline, study, query, accept="application/x-nifti")
        if not response.content.startswith(b"\x1f\x8b"):
            raise BadAnswer(f"{self.url} answered a mask request with something that is no gzipped NIfTI")
        return response.content

    def pipelines(self) -> Served:
        """What is served, and whether it is ready and trained. Raises as ``predict`` does."""
        return read_served(self._send(lambda: self._http.get("/v1/pipelines")))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, pipeline: str, study: Study, query: Mapping[str, str | None], *, accept: str) -> httpx.Response:
        contents = [_content(part) for part in _parts(study)]
        files = [("file", (PART_NAME, content, "application/octet-stream")) for content in contents]
        params = {name: value for name, value in query.items() if value is not None}
        path = f"/v1/pipelines/{quote(pipeline, safe='')}/predict"
        return self._send(lambda: self._http.post(path, files=files, params=params, headers={"Accept": accept}))

    def _send(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        """The first answer that is not 429, or the last one; only 200 is returned, all else is raised."""
        response = self._once(request)
        for _ in range(self.settings.busy_retries):
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            self._sleep(pause_s(response.headers.get("Retry-After"), longest_s=self.settings.longest_pause_s))
            response = self._once(request)
        if response.status_code != httpx.codes.OK:
            raise Refused(read_refusal(response))
        return response

    def _once(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            return request()
        except httpx.TimeoutException as error:
            raise ClientTimeout(f"no answer from {self.url} within the time limit ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise Unreachable(f"cannot reach {self.url}: {error}") from error
        except (httpx.DecodingError, httpx.TooManyRedirects) as error:
            raise BadAnswer(f"{self.url} sent an answer that cannot be decoded: {error}") from error


def _parts(study: Study) -> Sequence[bytes | str | Path]:
    return [study] if isinstance(study, bytes | str | Path) else study


def _content(study: bytes | str | Path) -> bytes:
    if isinstance(study, bytes):
        return study
    try:
        return Path(study).read_bytes()
    except OSError as error:
        raise UnreadableFile(f"cannot read the file: {error.strerror or error}") from error


def certificates(ca_file: Path | None) -> ssl.SSLContext:
    """The authorities to trust: those of the file, or the machine's.

    Raises
    ------
    ValueError
        The file holds none.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise ValueError(f"{PREFIX}CA_FILE: {ca_file} holds no certificates ({error.strerror or error})") from error
