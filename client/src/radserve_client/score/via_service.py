"""Items in, the service's answers out, over HTTP. No imaging library: the content is sent as it is.

The service never learns a file name. An overlay and a mask are requests of their own, each analysed anew, as
``radserve predict`` does it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from radserve_client.answer import read_answer, read_json, read_refusal
from radserve_client.client import PART_NAME, certificates
from radserve_client.errors import BadAnswer, Refusal
from radserve_client.pauses import pause_s
from radserve_client.score.attempts import LONGEST_PAUSE_S
from radserve_client.score.errors import ServerRefuses, WrongUse
from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.read import Access, UnreadableItem, read_parts
from radserve_client.score.verdict import judge
from radserve_client.score.way import Ask, Broke, Busy, Content, Gone, Served
from radserve_client.settings import ClientSettings
from radserve_contract.findings import ModelIdentity
from radserve_contract.priority import Priority

ARCHIVE_AWAY = "ARCHIVE_UNREACHABLE"
JSON, PNG, NIFTI = "application/json", "image/png", "application/x-nifti"
MAGIC = {PNG: b"\x89PNG\r\n\x1a\n", NIFTI: b"\x1f\x8b"}


class ServiceWay:
    """The way through a radserve service. ``access`` is how archives are read. See ``Way``.

    Raises
    ------
    ValueError
        The settings name a file of certificates that is none.
    """

    def __init__(self, ask: Ask, access: Access, url: str, settings: ClientSettings) -> None:
        self._ask = ask
        self._access = access
        self._path = f"/v1/pipelines/{quote(ask.pipeline, safe='')}"
        self._url = url
        # trust_env: a proxy of the machine must not get the images of a service on its own network
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(settings.timeout_s, connect=settings.connect_timeout_s, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            verify=certificates(settings.ca_file),
            trust_env=False,
        )

    async def models(self) -> Served:
        """See ``Way``."""
        try:
            response = await self._http.get(self._path)
        except httpx.TransportError as error:
            raise Gone(_unreachable(self._url, error)) from error
        if response.is_success:
            return served(self._document(response), self._ask)
        if response.status_code in (429, 502, 503, 504):
            raise Gone(f"{self._url} answers {response.status_code}", http_status=response.status_code)
        refusal = self._refusal_at_start(response)
        raise ServerRefuses(f"{refusal.code}: {refusal.message}")

    async def read(self, item: Item) -> Content | Failed:
        """See ``Way``."""
        try:
            return await asyncio.to_thread(_content, item, self._access)
        except UnreadableItem as error:
            if error.code == ARCHIVE_AWAY:
                raise Gone(error.message, code=error.code) from error
            return Failed(error.code, error.message, transient=error.transient)

    async def score(self, item: Item, content: Content) -> Scored | Failed:  # noqa: ARG002  # the protocol's
        """See ``Way``."""
        response = await self._post(content, JSON)
        if not response.is_success:
            return _refused(response, content)
        try:
            document = read_answer(response).document
        except BadAnswer as error:
            raise Broke(error.code, error.message, http_status=response.status_code) from error
        artifacts: dict[str, bytes] = {}
        for kind in self._wanted():
            response = await self._post(content, kind)
            if kind == NIFTI and response.status_code == httpx.codes.NOT_ACCEPTABLE:
                continue  # an image that does not say where it lies has no mask
            if not response.is_success:
                return _refused(response, content)
            artifacts[kind] = _artifact(response, kind)
        return Scored(
            document, content.sha256, content.size_bytes, overlay=artifacts.get(PNG), mask=artifacts.get(NIFTI)
        )

    async def close(self) -> None:
        """See ``Way``."""
        await self._http.aclose()

    def _wanted(self) -> list[str]:
        return [kind for kind, wanted in ((PNG, self._ask.overlay), (NIFTI, self._ask.mask)) if wanted]

    async def _post(self, content: Content, accept: str) -> httpx.Response:
        files = [("file", (PART_NAME, part, "application/octet-stream")) for part in content.parts]
        params = {name: value for name, value in self._query(accept).items() if value is not None}
        try:
            return await self._http.post(
                f"{self._path}/predict", files=files, params=params, headers={"Accept": accept}
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Gone(_unreachable(self._url, error)) from error
        except httpx.TimeoutException as error:
            message = f"no answer within the time limit ({type(error).__name__})"
            raise Broke("CLIENT_TIMEOUT", message, strained=True) from error
        except httpx.TransportError as error:
            raise Broke("UNREACHABLE", f"the connection broke ({type(error).__name__})") from error
        except (httpx.DecodingError, httpx.TooManyRedirects) as error:
            raise Broke("BAD_ANSWER", f"an answer that cannot be decoded ({type(error).__name__})") from error

    def _query(self, accept: str) -> Mapping[str, str | None]:
        """A mask is of a segmentation: what is asked about a detector does not matter."""
        return {
            "profile": self._ask.profile,
            "priority": Priority.ROUTINE.value,
            "detect": None if accept == NIFTI else self._ask.detect,
            "series": self._ask.series,
        }

    def _document(self, response: httpx.Response) -> Any:
        try:
            return read_json(response)
        except BadAnswer as error:
            raise ServerRefuses(error.message) from error

    def _refusal_at_start(self, response: httpx.Response) -> Refusal:
        try:
            return read_refusal(response)
        except BadAnswer as error:
            raise ServerRefuses(error.message) from error


def served(document: Any, ask: Ask) -> Served:
    """What answers, from the answer of ``GET /v1/pipelines/{name}``.

    Raises
    ------
    Gone
        Triton does not answer, or a model is not ready.
    ServerRefuses, WrongUse
        There is no such profile, it is not loaded, or it marks nothing that a mask could show.
    """
    try:
        profiles = {profile["name"]: profile for profile in document["profiles"]}
        name = ask.profile or document["default_profile"]
        if name not in profiles:
            raise WrongUse(f"{ask.pipeline} has no profile {name}; there are {', '.join(profiles)}")
        return _served(profiles[name], ask)
    except (KeyError, TypeError) as error:
        raise ServerRefuses(
            f"the description of {ask.pipeline} lacks {error}; is that radserve, of a version this client knows?"
        ) from error


def _served(profile: Mapping[str, Any], ask: Ask) -> Served:
    name = profile["name"]
    if profile["loaded"] is None:
        raise Gone("the service is there, but its Triton does not answer", code="TRITON_UNAVAILABLE")
    if not profile["loaded"]:
        raise ServerRefuses(f"PROFILE_NOT_LOADED: the service knows profile {name}, but has not loaded it")
    if not profile["ready"]:
        faults = [model["fault"] for model in profile["models"] if model["fault"]]
        raise Gone(f"profile {name} is not ready: {'; '.join(faults)}", code="MODEL_NOT_READY")
    if ask.mask and profile["segmentation"] is None:
        raise WrongUse(f"--mask: {ask.pipeline} marks no pixels, so it has no mask")
    models = (
        ModelIdentity(
            model["name"], model["version"], model["digest"], model["trained"], model.get("architecture") or ""
        )
        for model in profile["models"]
        if model["digest"]
    )
    return Served(ask.pipeline, name, tuple(models))


def _content(item: Item, access: Access) -> Content:
    parts = read_parts(item, access)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return Content(parts, digest.hexdigest(), sum(map(len, parts)))


def _refused(response: httpx.Response, content: Content) -> Failed:
    """See ``verdict.judge``. An answer of something between here and the service counts by its status."""
    status = response.status_code
    asked = response.headers.get("Retry-After")
    retry_after_s = pause_s(asked, longest_s=LONGEST_PAUSE_S) if asked else None
    try:
        refusal = read_refusal(response)
    except BadAnswer as error:
        if status == 429:
            raise Busy(retry_after_s) from error
        if status in (502, 503, 504):
            raise Gone(f"answered {status}", http_status=status) from error
        if status == 413:
            message = "something before the service refuses an upload of this size"
            return judge("TOO_LARGE", message, http_status=status, content=content)
        raise Broke(error.code, error.message, http_status=status) from error
    return judge(refusal.code, refusal.message, http_status=status, content=content, retry_after_s=retry_after_s)


def _artifact(response: httpx.Response, kind: str) -> bytes:
    if not response.content.startswith(MAGIC[kind]):
        raise Broke("BAD_ANSWER", f"a request for {kind} was answered with something else", http_status=200)
    return response.content


def _unreachable(url: str, error: Exception) -> str:
    return f"cannot reach {url}: {error or type(error).__name__}"
