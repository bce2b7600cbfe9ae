"""What the chart renders and what the Dockerfiles build on in, the list of container images out.

The images themselves are not in the bundle: saving them takes a container engine, and ours have to be built first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import BundleError

OURS = {
    "radserve/triton": "triton_server/Dockerfile",
    "radserve/service": "preproc_service/Dockerfile",
    "radserve/repository": "helm/radserve/repository-image/Dockerfile",
}
"""Images that a site builds, and what from."""
BASE_ARGUMENTS = ("_IMAGE", "_TAG", "_DIGEST")
HEAD = """\
# The container images of this release. They are not in the bundle; INSTALL.md says how to bring them in.
#   build  yours to build, from the Dockerfile of the same release        used by: ways to install (chart/ways)
#   pull   from its registry                                              used by: ways to install (chart/ways)
#   base   what a Dockerfile builds on: only where you build              used by: the Dockerfile
"""


@dataclass(frozen=True, slots=True)
class Image:
    """An image by tag or digest, how one comes by it (``build``, ``pull``, ``base``), and what uses it."""

    reference: str
    comes_by: str
    used_by: tuple[str, ...]

    @property
    def name_and_version(self) -> tuple[str, str]:
        """``radserve/triton`` and ``0.1.0``, or the digest where there is one."""
        name, at, digest = self.reference.partition("@")
        if at:
            return name, digest
        name, _, tag = self.reference.rpartition(":")
        return name, tag


def listed(rendered: Mapping[str, tuple[str, ...]], root: Path) -> tuple[Image, ...]:
    """The images of the chart, then those that the Dockerfiles of the checkout ``root`` build on."""
    used = [Image(name, "build" if _is_ours(name) else "pull", ways) for name, ways in sorted(rendered.items())]
    return (*used, *(Image(base(root / file), "base", (file,)) for file in OURS.values()))


def page(images: tuple[Image, ...]) -> str:
    """``images.txt``: three columns, comments with ``#``."""
    width = max(len(image.reference) for image in images)
    return HEAD + "".join(f"{i.reference:{width}}  {i.comes_by:5}  {','.join(i.used_by)}\n" for i in images)


def base(dockerfile: Path) -> str:
    """The image that the first ``FROM`` of a Dockerfile of ours means, by the defaults of its arguments."""
    text = dockerfile.read_text("utf-8")
    arguments = dict(re.findall(r"^ARG (\w+)=(\S*)$", text, re.MULTILINE))
    values = {kind: [arguments[name] for name in arguments if name.endswith(kind)] for kind in BASE_ARGUMENTS}
    if any(len(found) != 1 for found in values.values()):
        raise BundleError(f"{dockerfile} does not name one each of *{', *'.join(BASE_ARGUMENTS)} for its FROM")
    image, tag, digest = (found[0] for found in values.values())
    return f"{image}@{digest}" if digest else f"{image}:{tag}"


def _is_ours(reference: str) -> bool:
    return any(reference.startswith((f"{name}:", f"{name}@")) for name in OURS)
