"""Python client of radserve, and the `radserve` command: studies in, findings and overlays out, over HTTP."""

from radserve_client.answer import Answer
from radserve_client.client import Client
from radserve_client.errors import BadAnswer, ClientError, ClientTimeout, Refused, Unreachable, UnreadableFile

__all__ = [
    "Answer",
    "BadAnswer",
    "Client",
    "ClientError",
    "ClientTimeout",
    "Refused",
    "Unreachable",
    "UnreadableFile",
]
