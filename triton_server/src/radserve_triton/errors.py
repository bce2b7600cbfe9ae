"""What can go wrong between ``radserve-triton serve`` and a ready server.

::

    ServerError
    ├── BadSetting         a RADSERVE_SERVER_* variable that is unknown or has no such value
    ├── RuntimeMissing     the environment that holds tritonserver is absent or incomplete
    ├── RepositoryInvalid  the served repository is absent, incomplete or not as it was published
    ├── PortInUse          another program listens where the server should
    ├── StartFailed        tritonserver gave up; the message is its first real error
    ├── StartTimeout       tritonserver was not ready in time
    └── SelfTestFailed     tritonserver is ready and answers wrong

Each class has a stable ``code`` and the ``exit_status`` of the command.
"""

from __future__ import annotations

from typing import ClassVar


class ServerError(Exception):
    """Base of all; ``str()`` says what, where, got, wanted, do."""

    code: ClassVar[str] = "server_error"
    exit_status: ClassVar[int] = 1


class BadSetting(ServerError):
    """A setting is unknown or has a value it cannot have."""

    code = "bad_setting"
    exit_status = 2


class RuntimeMissing(ServerError):
    """The virtual environment with tritonserver is not there, or lacks a library or backend."""

    code = "runtime_missing"


class RepositoryInvalid(ServerError):
    """The served repository is absent, lacks files, or differs from its manifest."""

    code = "repository_invalid"


class PortInUse(ServerError):
    """A port that was asked for is taken."""

    code = "port_in_use"


class StartFailed(ServerError):
    """tritonserver ended before it was ready."""

    code = "start_failed"


class StartTimeout(ServerError):
    """tritonserver still runs but was not ready in time."""

    code = "start_timeout"


class SelfTestFailed(ServerError):
    """A model with a known answer was answered wrongly or not at all; no other answer can be trusted."""

    code = "self_test_failed"
