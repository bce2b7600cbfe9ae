"""Values in, Markdown out: what the pages of both halves have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.results import Machine, Model


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every column but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def of_facts(machine: Machine) -> str:
    """The machine in one paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"{machine.cpu} ({', '.join(machine.instructions)}); {machine.cores} cores for everything, load generators"
        f" included; {machine.memory_gib} GiB; {machine.system}; load average before the run {machine.load:g}."
        f" Python {machine.python}, {versions}."
    )


def of_models(models: Iterable[Model]) -> str:
    """The networks of a run, trained or not."""
    rows = [
        (model.name, "trained" if model.trained else "UNTRAINED", model.threads, f"`{model.digest[:16]}`")
        for model in models
    ]
    return table(("model", "weights", "threads", "SHA-256 of the graph"), rows)
