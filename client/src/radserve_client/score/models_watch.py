"""Answers in, out: the run that they belong to. Models may be replaced while a run goes on; rows never mix them up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from radserve_client.score.errors import ModelsChanged
from radserve_client.score.identity import RunIdentity
from radserve_client.score.options import OnModelChange
from radserve_client.score.way import Served
from radserve_contract.findings import ModelIdentity

ADVICE = "--on-model-change record goes on and keeps both, each row with its models; another --out keeps them apart"


class ModelsWatch:
    """``ask_again`` asks what is served now; ``say`` tells the user of a change."""

    def __init__(
        self,
        run: RunIdentity,
        on_change: OnModelChange,
        *,
        ask_again: Callable[[], Served],
        say: Callable[[str], None],
    ) -> None:
        self._runs = [run]
        self._on_change = on_change
        self._ask_again = ask_again
        self._say = say

    def check_start(self, recorded: Iterable[ModelIdentity] | None) -> None:
        """Compare with the models of the rows that are there, None when there are none.

        Raises
        ------
        ModelsChanged
            They are others, and the user wants to stop then.
        """
        if recorded is None:
            return
        before, now = _digests(recorded), _digests(self._runs[0].models)
        if before == now:
            return
        others = ", ".join(sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)))
        self._changed(f"the rows in the output were scored with other models than those that are served now ({others})")

    def run_of(self, document: Mapping[str, Any]) -> RunIdentity:
        """The run with the models of an answer: nearly always the present one.

        Raises
        ------
        ModelsChanged
            The models are others than those of the start, and the user wants to stop then.
        """
        for run in reversed(self._runs):
            why = run.other_models(document)
            if why is None:
                return run
        self._changed(f"the models changed while the run went on: {self._runs[-1].other_models(document)}")
        run = self._runs[-1].with_models(self._ask_again().models)
        if run.other_models(document) is not None:
            run = run.with_models(_replaced(run.models, document))  # changed once more since that answer
        self._runs.append(run)
        return run

    def _changed(self, what: str) -> None:
        if self._on_change is OnModelChange.STOP:
            raise ModelsChanged(f"{what}. What is done is kept. {ADVICE}")
        self._say(f"{what}; rows from here on name the new ones")


def _digests(models: Iterable[ModelIdentity]) -> dict[str, tuple[str, str]]:
    return {model.name: (model.version, model.digest) for model in models}


def _replaced(models: Iterable[ModelIdentity], document: Mapping[str, Any]) -> Iterable[ModelIdentity]:
    """The models, with those of an answer in the place of their namesakes."""
    latest = {model.name: model for model in models}
    for entry in document["models"]:
        latest[entry["name"]] = ModelIdentity(
            entry["name"], entry["version"], entry["digest"], entry["trained"], entry.get("architecture") or ""
        )
    return latest.values()
