"""Checkpoints in (none: untrained), the trained system with the weights that the same export serves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.films import PROFILE, Upload, stored
from bench.results import Storage, TrainedRun
from bench.timing import repeated
from bench.trained_system import Answer, TrainedSystem
from radserve_contract.spec import ModelSpec
from radserve_export import yolo_library  # noqa: F401  # loads ultralytics offline; has to come before the next import
from radserve_export.networks import BuiltNetwork
from radserve_export.pipelines import spine

from ultralytics import YOLO  # type: ignore[attr-defined]  # isort: skip  # a lazy import


def measure(films: Sequence[Upload], checkpoints: Path | None, *, seconds: float) -> list[tuple[TrainedRun, float]]:
    """(d): each film for ``seconds``, with every core; those in JPEG 2000 with the application's threads too; scores.

    The detector was used before, as on a working day: its first use leaves PyTorch with one thread less than there are
    cores, for the classifiers too. Giving that thread back is faster than the application ever is.
    """
    every_core = torch.get_num_threads()
    system = trained_system(checkpoints)
    system.use_detector(films[0].content)
    as_left = torch.get_num_threads()
    measured = []
    for all_cores, threads, chosen in (
        (True, every_core, films),
        (False, as_left, stored(films, Storage.JPEG_2000)),
    ):
        torch.set_num_threads(threads)
        measured += [_run(system, film, all_cores=all_cores, seconds=seconds) for film in chosen]
    return measured


def _run(system: TrainedSystem, film: Upload, *, all_cores: bool, seconds: float) -> tuple[TrainedRun, float]:
    answers: list[Answer] = []
    taken = repeated(lambda: answers.append(system.answer(film.content)), seconds=seconds)
    median = sorted(range(len(taken)), key=lambda index: taken[index])[len(taken) // 2]
    answer = answers[1 + median]  # the first one warmed up
    run = TrainedRun(
        film=film.kind,
        storage=film.storage,
        label=PROFILE.fusion.positive if answer.abnormal else PROFILE.fusion.negative,
        boxes=len(answer.boxes),
        all_cores=all_cores,
        threads=torch.get_num_threads(),
        films=len(taken),
        seconds=taken[median],
        steps=answer.steps,
    )
    return run, answer.score


def trained_system(checkpoints: Path | None) -> TrainedSystem:
    """The three CNNs and the detector as plain modules in eval mode; CheckpointError when a file is something else."""
    classifiers: dict[str, torch.nn.Module] = {}
    for member in PROFILE.fusion.members:
        wrapped: Any = _built(PROFILE.model(member.model), checkpoints).module
        classifiers[member.output] = wrapped.network
    return TrainedSystem(classifiers, _yolo(_built(PROFILE.model(PROFILE.detection.model), checkpoints)), PROFILE)


def _built(model: ModelSpec, checkpoints: Path | None) -> BuiltNetwork:
    path = checkpoints / spine.CHECKPOINTS[model.architecture] if checkpoints else None
    return spine.build(model, PROFILE, path).network


def _yolo(detector: BuiltNetwork) -> YOLO:
    """ultralytics' own interface around the detector's network, as loading ``best.pt`` would make it."""
    wrapped: Any = detector.module
    yolo = YOLO("yolo11n.yaml", task="detect")  # its network is replaced at once: any size will do
    yolo.model = wrapped.network
    return yolo
