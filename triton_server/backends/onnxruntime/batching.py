"""The requests of one execution in, one answer or one error for each out. Pure: numpy only.

Triton hands a backend several requests at once. Those that fit together are joined along the batch axis, run once and
split again; a run that fails is repeated request by request, so that a bad one does not take its neighbours with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

Tensors: TypeAlias = Mapping[str, np.ndarray]
Run: TypeAlias = Callable[[Tensors], Tensors]


class BadAnswer(Exception):
    """The graph answered another number of rows than it was asked."""


def answer_all(requests: Sequence[Tensors], run: Run, *, batched: bool) -> list[Tensors | Exception]:
    """Answer every request, in order, with as few calls of ``run`` as their shapes allow.

    Parameters
    ----------
    requests
        Input tensors by name; with ``batched`` the first axis of each is the batch.
    run
        Turns the inputs of one batch into its outputs, or raises.

    Returns
    -------
    The outputs of each request, or the exception that it alone raises.
    """
    if not batched:
        return [_attempt(tensors, run) for tensors in requests]
    answers: dict[int, Tensors | Exception] = {}
    for group in group_alike(requests):
        members = [requests[index] for index in group]
        answers.update(zip(group, _answer_group(members, run), strict=True))
    return [answers[index] for index in range(len(requests))]


def group_alike(requests: Sequence[Tensors]) -> list[list[int]]:
    """Indices of the requests that can be joined: same names, types and shapes but for the batch axis."""
    groups: dict[object, list[int]] = {}
    for index, tensors in enumerate(requests):
        key = tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in tensors.items()))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _answer_group(members: Sequence[Tensors], run: Run) -> list[Tensors | Exception]:
    try:
        return list(_run_joined(members, run))
    except Exception as error:  # whatever it was, each request has a right to its own answer
        if len(members) == 1:
            return [error]
        return [answer for tensors in members for answer in _answer_group([tensors], run)]


def _attempt(tensors: Tensors, run: Run) -> Tensors | Exception:
    try:
        return run(tensors)
    except Exception as error:  # becomes this request's TritonError
        return error


def _run_joined(members: Sequence[Tensors], run: Run) -> list[Tensors]:
    """One run over all ``members``; every output is cut where the inputs were joined."""
    rows = [len(next(iter(tensors.values()))) for tensors in members]
    outputs = run(_join(members))
    for name, array in outputs.items():
        if array.shape[:1] != (sum(rows),):
            raise BadAnswer(f"output '{name}' has shape {array.shape} for a batch of {sum(rows)}")
    cuts = np.cumsum(rows)[:-1]
    pieces = {name: np.split(array, cuts) for name, array in outputs.items()}
    return [{name: parts[index] for name, parts in pieces.items()} for index in range(len(members))]


def _join(members: Sequence[Tensors]) -> Tensors:
    if len(members) == 1:
        return members[0]  # no copy: the common case of a lone request
    return {name: np.concatenate([tensors[name] for tensors in members]) for name in members[0]}
