"""Outcomes in, a table out: drawn on a terminal, tab-separated for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from radserve_client.outcome import Outcome, headline
from radserve_client.served import Served

COLUMNS = ("file", "result", "probability", "threshold", "members", "boxes", "weights", "note")


def take_any_name(stream: TextIO) -> None:
    """Let ``stream`` print file names that are no text in its encoding, escaped as on stderr; a strict one raises."""
    if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")


def print_table(outcomes: Sequence[Outcome], console: Console) -> None:
    """One row per file under a header; on a terminal the notes stand below, where they have room."""
    if not console.is_terminal:
        print_plain(COLUMNS, [_plain_row(outcome) for outcome in outcomes], console)
        return
    console.print(drawn_table(outcomes))
    for outcome in outcomes:
        for note in _notes(outcome):
            console.print(f"{outcome.file}: {note}", markup=False, highlight=False, soft_wrap=True)


def print_pipelines(served: Served, console: Console) -> None:
    """One row per profile of each pipeline; the default profile is marked."""
    columns = ("pipeline", "profile", "default", "state", "weights")
    rows = [
        (pipeline.name, profile.name, "*" if profile.default else "", profile.state, weights(profile.trained))
        for pipeline in served.pipelines
        for profile in pipeline.profiles
    ]
    if console.is_terminal:
        console.print(_drawn(columns, rows))
    else:
        print_plain(columns, rows, console)


def print_plain(columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """A tab-separated line per row under a header, without tabs and line ends inside the cells."""
    for line in (columns, *rows):
        console.file.write("\t".join(" ".join(cell.split()) for cell in line) + "\n")
    console.file.flush()


def drawn_table(outcomes: Sequence[Outcome], name: Callable[[Path], str] = str) -> Table:
    """The table for people: a column per member network, an error as its code under ``result``."""
    members = list(dict.fromkeys(member for outcome in outcomes for member in outcome.members()))
    judged = ["findings"] if any(outcome.judged() for outcome in outcomes) else []
    rows = [
        (
            name(outcome.file),
            *_decision(outcome),
            *(_member(outcome, member) for member in members),
            *(_positive(outcome) for _ in judged),
            *_rest(outcome),
        )
        for outcome in outcomes
    ]
    return _drawn(("file", "result", "probability", "threshold", *members, *judged, "boxes", "weights"), rows)


def weights(trained: bool | None) -> str:
    """Trained, UNTRAINED, or nothing when that is not known."""
    return {True: "trained", False: "UNTRAINED", None: ""}[trained]


def _plain_row(outcome: Outcome) -> tuple[str, ...]:
    said = outcome.members() or outcome.judged()
    members = " ".join(f"{name}={probability:.4f}" for name, probability in said.items())
    return (str(outcome.file), *_decision(outcome), members, *_rest(outcome), "; ".join(_notes(outcome)))


def _decision(outcome: Outcome) -> tuple[str, str, str]:
    """Result, probability, threshold."""
    if outcome.answer is None:
        return outcome.error.code if outcome.error else "", "", ""
    decision = outcome.answer.findings.decision
    if decision is None:
        return headline(outcome.answer.findings), "", ""
    return decision.label, f"{decision.probability:.4f}", f"{decision.comparison} {decision.threshold}"


def _positive(outcome: Outcome) -> str:
    """What is positive among the labels, and every organ's grade, each with its probability."""
    if outcome.answer is None:
        return ""
    findings = outcome.answer.findings
    labels = [f"{label.name} {label.probability:.3f}" for label in findings.labels if label.positive]
    organs = [f"{organ.name} {organ.status} {organ.confidence:.3f}" for organ in findings.organs]
    return ", ".join([*labels, *organs]) or "none"


def _member(outcome: Outcome, name: str) -> str:
    probability = outcome.members().get(name)
    return "" if probability is None else f"{probability:.4f}"


def _rest(outcome: Outcome) -> tuple[str, str]:
    """Boxes, or - when the detector did not run; weights."""
    if outcome.answer is None:
        return "", ""
    findings = outcome.answer.findings
    ran = findings.detections is not None and findings.detections.ran
    boxes = str(len(findings.detections.boxes)) if findings.detections and ran else "-"
    return boxes, weights(findings.trained)


def _notes(outcome: Outcome) -> list[str]:
    """The error, the answer's warnings, where the overlay is."""
    notes = []
    if outcome.error:
        # without an answer its code stands under result
        notes.append(f"{outcome.error.code}: {outcome.error.message}" if outcome.answer else outcome.error.message)
    if outcome.answer:
        notes += [f"{warning.code}: {warning.message}" for warning in outcome.answer.findings.warnings]
    if outcome.overlay:
        notes.append(f"overlay {outcome.overlay}")
    if outcome.mask:
        notes.append(f"mask {outcome.mask}")
    return notes


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Cells are text, never markup; a long one is folded, not cut."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for cells in rows:
        table.add_row(*map(escape, cells))
    return table
