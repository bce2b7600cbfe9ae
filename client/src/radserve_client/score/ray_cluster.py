"""An address in, a Ray that is connected to it out; without one a cluster of this machine that ends with the run.

Nothing of it phones home: usage statistics are off, and there is no dashboard.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from radserve_client.score.errors import MissingExtra, RunError, WrongUse

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # would pack and ship the working directory
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # its warning says how a later release will treat GPUs
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # it warns of what Ray Data does by itself
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",  # a container's /dev/shm may have 64 MB
}
"""Read by Ray when it is imported or started; what the user has set himself stays."""
OBJECT_STORE_BYTES = 256 * 1024**2
"""Items and answers are small, and a picture has a few MB: Ray would take 30 % of the memory."""
LEAST_STORE_BYTES = 80 * 1024**2
"""Ray refuses less than 75 MB."""
KNOCK_S = 10.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # only asked how full it is


def ray_or_say_so(address: str | None) -> ModuleType:
    """The package, set up for the cluster at ``address`` or for one here. Raises MissingExtra: it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not address and "RAY_AUTH_MODE" not in os.environ:
        # nobody else on this machine may use our cluster; without one of ours, a token is written to the home directory
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra(
            f"--engine ray needs Ray, which is not installed here ({error.name}). Install it with:"
            " pip install 'radserve-client[ray]'"
        ) from None
    return ray


@contextmanager
def connected(address: str | None, *, cores: int) -> Iterator[ModuleType]:
    """Ray, until the end of the block. ``cores`` is how many a cluster of this machine has.

    Raises
    ------
    MissingExtra
        It is not installed.
    RunError
        Nobody answers at the address, or the cluster does not start.
    """
    ray = ray_or_say_so(address)
    folder = None if address else Path(tempfile.mkdtemp(prefix="radserve-ray-"))
    try:
        _connect(ray, address, folder, cores)
        yield ray
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _connect(ray: ModuleType, address: str | None, folder: Path | None, cores: int) -> None:
    """Connect, or start a cluster; a second time when the first came to nothing, as on a machine under load."""
    own = {
        "num_cpus": cores,
        "include_dashboard": False,
        "object_store_memory": _store_bytes(),
        "_temp_dir": str(folder),
    }
    if address:
        _knock(address)
    for last in (False, True):
        try:
            ray.init(
                address=address or "local",  # without one it would look for RAY_ADDRESS and for clusters of others here
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if address else own),
            )
            break
        except Exception as error:  # also a bare Exception, when a part of it was not there in 30 s
            ray.shutdown()
            if last:
                raise RunError(_why(address, error)) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it says of a lost block is dealt with here


def _knock(address: str) -> None:
    """Raise RunError when nobody listens there: Ray itself would try for minutes. ``auto`` is left to Ray."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not (host and port.isdigit()):
        raise WrongUse(f"{address!r} is no Ray cluster; wanted host:port of its head (usually port 6379), or auto")
    try:
        socket.create_connection((host, int(port)), KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise RunError(f"cannot reach the Ray cluster at {address}: {error}") from None


def _why(address: str | None, error: Exception) -> str:
    first = str(error).strip().split("\n")[0]
    return f"cannot reach the Ray cluster at {address}: {first}" if address else f"Ray does not start: {first}"


def _store_bytes() -> int:
    """Bytes of the object store: within what shared memory has left."""
    try:
        free_bytes = shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        free_bytes = 0
    return max(LEAST_STORE_BYTES, min(OBJECT_STORE_BYTES, int(free_bytes * 0.8)))
