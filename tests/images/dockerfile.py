"""The text of a Dockerfile in, its stages and instructions out: just enough grammar for the two of this project."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_FROM = re.compile(r"(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)(?::\+([^}]*))?\}")


@dataclass(frozen=True)
class Instruction:
    """One instruction: keyword in capitals, everything after it on one line."""

    keyword: str
    value: str

    @property
    def words(self) -> list[str]:
        """The value as a list: the JSON form as it is, the plain form split as a shell does."""
        return json.loads(self.value) if self.value.startswith("[") else shlex.split(self.value)


@dataclass(frozen=True)
class Stage:
    """What follows one FROM. ``image`` has its variables filled in."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, keyword: str) -> list[Instruction]:
        """Every instruction with that keyword, in order."""
        return [item for item in self.instructions if item.keyword == keyword]

    def last(self, keyword: str) -> Instruction | None:
        """The one that counts where the last one does (USER, CMD, HEALTHCHECK)."""
        return (self.all(keyword) or [None])[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        pairs = (word.partition("=") for item in self.all("ENV") for word in item.words)
        return {name: value for name, _, value in pairs}


@dataclass(frozen=True)
class Copy:
    """A COPY: sources, destination, and the stage they come from (empty: the build context)."""

    sources: tuple[str, ...]
    destination: str
    stage: str

    @property
    def files(self) -> list[str]:
        """Where each source lands, for a destination that is a folder (ends with a slash) or one file."""
        if not self.destination.endswith("/"):
            return [self.destination]
        return [f"{self.destination}{PurePosixPath(source).name}" for source in self.sources]


@dataclass(frozen=True)
class Dockerfile:
    """The ARGs before the first FROM, and the stages."""

    arguments: dict[str, str]
    stages: list[Stage]

    @property
    def final(self) -> Stage:
        """The stage that becomes the image."""
        return self.stages[-1]


def parse(text: str) -> Dockerfile:
    """Split ``text`` into stages; ValueError for an instruction before FROM that is not ARG."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for item in _instructions(text):
        if item.keyword == "FROM":
            match = _FROM.match(item.value)
            stages.append(Stage(_fill(match["image"], arguments), match["name"] or ""))
        elif stages:
            stages[-1].instructions.append(item)
        elif item.keyword == "ARG":
            name, _, value = item.value.partition("=")
            arguments[name] = value
        else:
            raise ValueError(f"{item.keyword} before FROM")
    return Dockerfile(arguments, stages)


def copy(item: Instruction) -> Copy:
    """A COPY instruction taken apart."""
    flags = dict(word[2:].partition("=")[::2] for word in item.words if word.startswith("--"))
    *sources, destination = (word for word in item.words if not word.startswith("--"))
    return Copy(tuple(sources), destination, flags.get("from", ""))


def _instructions(text: str) -> list[Instruction]:
    """Comments dropped (inside continued lines too), continued lines joined."""
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(kept))
    return [Instruction(line.split()[0].upper(), line.split(maxsplit=1)[1].strip()) for line in joined.splitlines()]


def _fill(text: str, arguments: dict[str, str]) -> str:
    """``${NAME}`` and ``${NAME:+word}`` filled in from ``arguments``; KeyError for an unknown name."""

    def value(match: re.Match[str]) -> str:
        name, word = match.groups()
        return arguments[name] if word is None else (word if arguments[name] else "")

    return _VARIABLE.sub(value, text)
