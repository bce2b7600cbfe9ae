"""What is asked for in, a refusal in words out when its packages are not installed."""

from __future__ import annotations

import importlib.util

from radserve_client.score.errors import MissingExtra

PACKAGES = {
    "batch": ("filelock", "prometheus_client", "pyarrow", "python_multipart"),
    "local": ("radserve_preproc",),
    "ray": ("ray",),
}
"""What the extras of ``radserve-client`` bring (client/pyproject.toml), as it is imported."""


def need(extra: str, what: str) -> None:
    """Refuse in words when the packages of an extra are not installed.

    Raises
    ------
    MissingExtra
        The message says how to install them.
    """
    missing = [name for name in PACKAGES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"{what} needs packages that are not installed here ({', '.join(missing)})."
            f" Install them with: pip install 'radserve-client[{extra}]'"
        )
