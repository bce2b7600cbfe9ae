"""A gRPC status code in, our error out. One table for all codes; a test holds it against the library's list."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from radserve_preproc.errors import Busy, DeadlineExceeded, ModelFailed, ModelNotReady, RadserveError, Unavailable

RETRY_AFTER_S = 5.0


def translated(code: grpc.StatusCode, *, model: str, address: str) -> RadserveError:
    """Our error for a failed call of ``model``."""
    return TABLE[code](model, address, code.name)


def _unavailable(model: str, address: str, status: str) -> RadserveError:
    return Unavailable(
        f"Triton at {address} does not answer ({status}, model {model})", model=model, grpc_status=status
    )


def _refused(model: str, address: str, status: str) -> RadserveError:
    message = f"Triton at {address} refuses this service ({status}, model {model}); check its access rules"
    return Unavailable(message, model=model, grpc_status=status)


def _not_ready(model: str, address: str, status: str) -> RadserveError:
    message = f"Triton at {address} has no model {model} that is loaded ({status})"
    return ModelNotReady(message, model=model, grpc_status=status)


def _failed(model: str, address: str, status: str) -> RadserveError:
    message = f"Triton at {address} could not run {model} ({status}); its words are in the service's log"
    return ModelFailed(message, model=model, grpc_status=status)


def _late(model: str, address: str, status: str) -> RadserveError:
    message = f"Triton at {address} did not answer for {model} in the time that was left"
    return DeadlineExceeded(message, model=model, grpc_status=status)


def _exhausted(model: str, address: str, status: str) -> RadserveError:
    message = f"Triton at {address} has no memory or quota left for {model}"
    return Busy(message, retry_after_s=RETRY_AFTER_S, model=model, grpc_status=status)


TABLE: dict[grpc.StatusCode, Callable[[str, str, str], RadserveError]] = {
    # Triton's own: TRITONSERVER_ERROR_UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED,
    # ALREADY_EXISTS, CANCELLED
    grpc.StatusCode.UNKNOWN: _failed,
    grpc.StatusCode.INTERNAL: _failed,
    grpc.StatusCode.NOT_FOUND: _not_ready,
    grpc.StatusCode.INVALID_ARGUMENT: _failed,
    grpc.StatusCode.UNAVAILABLE: _unavailable,
    grpc.StatusCode.UNIMPLEMENTED: _failed,
    grpc.StatusCode.ALREADY_EXISTS: _failed,
    grpc.StatusCode.CANCELLED: _unavailable,  # by a server that is going away; our own is a CancelledError
    # gRPC's and those of proxies between
    grpc.StatusCode.DEADLINE_EXCEEDED: _late,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _exhausted,
    grpc.StatusCode.UNAUTHENTICATED: _refused,
    grpc.StatusCode.PERMISSION_DENIED: _refused,
    grpc.StatusCode.FAILED_PRECONDITION: _failed,
    grpc.StatusCode.ABORTED: _unavailable,
    grpc.StatusCode.OUT_OF_RANGE: _failed,
    grpc.StatusCode.DATA_LOSS: _failed,
    grpc.StatusCode.OK: _failed,  # never raised; here so that the table is whole
}
