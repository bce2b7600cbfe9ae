"""A parsed Dockerfile in, what is wrong with it out: one short rule each, an empty list when all is well."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.images.context import ROOT, travels
from tests.images.dockerfile import Dockerfile, Stage, copy, parse

Rule = Callable[[Dockerfile], Iterator[str]]

TORCH = re.compile(r"^(torch|torchvision|ultralytics|timm|monai)==", re.MULTILINE)


def dockerfile_problems(text: str, *rules: Rule) -> list[str]:
    """Everything the common rules and ``rules`` have against a Dockerfile."""
    file = parse(text)
    common = (copied_paths_exist, stages_exist, base_is_pinned, user_is_a_number, health_is_checked, nothing_is_added)
    return [problem for rule in (*common, *rules) for problem in rule(file)]


def copied_paths_exist(file: Dockerfile) -> Iterator[str]:
    """Every source of a COPY is in the repository, and .dockerignore lets it through."""
    dockerignore = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for stage in file.stages:
        for source in (source for item in stage.all("COPY") if not copy(item).stage for source in copy(item).sources):
            if not (ROOT / source).exists():
                yield f"COPY {source}: there is no such path"
            elif not travels(source, dockerignore):
                yield f"COPY {source}: .dockerignore keeps it out"


def stages_exist(file: Dockerfile) -> Iterator[str]:
    """COPY --from names an earlier stage."""
    names = {stage.name for stage in file.stages if stage.name}
    for item in file.final.all("COPY"):
        if (stage := copy(item).stage) and stage not in names:
            yield f"COPY --from={stage}: there is no such stage"


def base_is_pinned(file: Dockerfile) -> Iterator[str]:
    """Every base is image:tag with a version in the tag; its digest is left for the release command."""
    for stage in file.stages:
        _, _, tag = stage.image.rpartition(":")
        if not re.search(r"\d+\.\d+", tag) or "@" in stage.image:
            yield f"FROM {stage.image}: wanted image:tag with a version, and no digest"
    for name, value in file.arguments.items():
        if name.endswith("_DIGEST") and value:
            yield f"ARG {name}: a digest is filled by the release command, never written here"
    if not any(name.endswith("_DIGEST") for name in file.arguments):
        yield "no ARG *_DIGEST for the release command to fill"


def user_is_a_number(file: Dockerfile) -> Iterator[str]:
    """The image runs as uid:gid, both numbers above 0."""
    user = file.final.last("USER")
    if user is None or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user.value):
        yield f"USER {user.value if user else 'missing'}: wanted uid:gid as numbers, not root"


def health_is_checked(file: Dockerfile) -> Iterator[str]:
    """The health check runs a program of the image, without a shell, and gives up before Docker does."""
    command = health_command(file.final)
    if not command:
        yield "HEALTHCHECK missing, or not in the form CMD [...]"
    elif command[0] not in {"curl", "python"}:
        yield f"HEALTHCHECK runs {command[0]}, which nobody made sure is in the image"
    elif command[0] == "python":
        compile(command[2], "HEALTHCHECK", "exec")


def nothing_is_added(file: Dockerfile) -> Iterator[str]:
    """No ADD (it fetches and unpacks), and no download in a RUN but pip's, which checks hashes."""
    for stage in file.stages:
        yield from (f"ADD {item.value}: use COPY" for item in stage.all("ADD"))
        for item in stage.all("RUN"):
            if re.search(r"\b(curl|wget|git clone|apt-get install)\b", item.value):
                yield f"RUN {item.value}: fetches something without a hash"


def health_command(stage: Stage) -> list[str]:
    """The command of the HEALTHCHECK, empty when there is none."""
    check = stage.last("HEALTHCHECK")
    match = check and re.search(r"CMD (\[.*\])$", check.value)
    return json.loads(match[1]) if match else []


def pip_checks_hashes(file: Dockerfile) -> Iterator[str]:
    """Whatever pip fetches comes from a requirement file with hashes; the rest is installed with --no-index."""
    for item in (item for stage in file.stages for item in stage.all("RUN")):
        for command in re.findall(r"pip (?:install|wheel|download) [^&|;]*", item.value):
            if not {"--require-hashes", "--no-index", "--no-build-isolation"} & set(command.split()):
                yield f"{command.strip()}: fetches without hashes"
            yield from _missing_requirements(command)


def _missing_requirements(command: str) -> Iterator[str]:
    for name in re.findall(r"-r (\S+)", command):
        path = ROOT / name
        if not path.is_file():
            yield f"pip install -r {name}: there is no such file"
        elif unhashed(path):
            yield f"{name}: without a hash: {unhashed(path)}"


def unhashed(requirements: Path) -> list[str]:
    """Requirements in a file that carry no hash."""
    entries = re.split(r"\n(?=\S)", requirements.read_text(encoding="utf-8").strip())
    return [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]


def no_torch_inside(file: Dockerfile) -> Iterator[str]:
    """None of the requirement files that the image installs pins torch or what comes with it."""
    runs = " ".join(item.value for stage in file.stages for item in stage.all("RUN"))
    for name in re.findall(r"-r (\S+)", runs):
        if (ROOT / name).is_file() and (found := TORCH.findall((ROOT / name).read_text(encoding="utf-8"))):
            yield f"{name}: pins {', '.join(found)}, which belongs to export"
