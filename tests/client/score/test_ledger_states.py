"""Any sequence of what runs do to a ledger, against a model of it in a few lines."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from radserve_client.score import ledger as ledger_module
from radserve_client.score.artifacts import ArtifactKind
from radserve_client.score.ledger import Ledger
from radserve_client.score.outcome import Result
from tests.client.score.answers import failed, item, run, scored
from tests.client.score.outputs import kill, rows

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
FINGERPRINTS = st.sampled_from(["1", "2"])
STATUS = st.sampled_from(["ok", "failed", "transient"])
State = dict[str, tuple[str, str]]
"""Fingerprint and status of the row of each item."""


def result(name: str, fingerprint: str, status: str) -> Result:
    """An item that went so."""
    made = scored(name, overlay=b"picture of bones") if status == "ok" else failed(name, transient=status != "failed")
    return Result(item(name, fingerprint=fingerprint), made.outcome)


class LedgerMachine(RuleBasedStateMachine):
    """One output folder; ``durable`` is what must be there, ``kept`` what this run has kept beyond that."""

    def __init__(self) -> None:
        super().__init__()
        self.out = Path(tempfile.mkdtemp())
        self.durable: State = {}
        self.kept: State = {}
        self.runs = 0
        self.commit_s, ledger_module.COMMIT_S = ledger_module.COMMIT_S, 600.0

    @initialize()
    def open(self) -> None:
        self.runs += 1
        kind = ArtifactKind.ZIP if self.runs % 2 else ArtifactKind.FOLDER
        self.ledger = Ledger.open(self.out, run(run_id=f"run-{self.runs}"), artifacts=kind, part_rows=3)

    @rule(name=NAMES, fingerprint=FINGERPRINTS, status=STATUS)
    def keep(self, name: str, fingerprint: str, status: str) -> None:
        self.ledger.keep(result(name, fingerprint, status))
        self.kept.pop(name, None)
        self.kept[name] = (fingerprint, status)

    @rule()
    def flush(self) -> None:
        self.ledger.flush()
        self._all_is_durable()

    @rule()
    def seal(self) -> None:
        self.ledger.seal()
        self._all_is_durable()
        assert self._in_parts() == self.durable

    @rule(name=NAMES, fingerprint=FINGERPRINTS)
    def withdraw(self, name: str, fingerprint: str) -> None:
        self.ledger.withdraw([item(name, fingerprint=fingerprint)])
        self._all_is_durable()
        if self.durable.get(name, ("", ""))[0] == fingerprint:
            del self.durable[name]

    @rule()
    def finish_and_start_again(self) -> None:
        self.ledger.close()
        self._all_is_durable()
        assert self._in_parts() == self.durable
        self.open()

    @rule()
    def killed_and_started_again(self) -> None:
        kill(self.ledger)
        self.kept = {}
        self.open()

    @precondition(lambda self: not self.kept)
    @rule()
    def count(self) -> None:
        counts = self.ledger.counts()
        statuses = [status for _, status in self.durable.values()]
        assert (counts.ok, counts.rows, counts.transient) == (
            statuses.count("ok"),
            len(statuses),
            statuses.count("transient"),
        )

    @invariant()
    def done_is_what_has_a_row(self) -> None:
        for name in "abcde":
            for fingerprint in "12":
                there, status = self.durable.get(name, ("", ""))
                done = there == fingerprint and status != "transient"
                if name not in self.kept:  # of what is not durable yet, an older row may still stand
                    assert self.ledger.is_done(item(name, fingerprint=fingerprint)) == done

    @invariant()
    def no_part_has_a_key_twice(self) -> None:
        rows(self.out)

    def _all_is_durable(self) -> None:
        self.durable |= self.kept
        self.kept = {}

    def _in_parts(self) -> State:
        found: State = {}
        for row in rows(self.out):
            name = Path(row["source"]).name
            assert name not in found
            found[name] = (row["fingerprint"], "transient" if row["transient"] else row["status"])
        return found

    def teardown(self) -> None:
        kill(self.ledger)
        shutil.rmtree(self.out)
        ledger_module.COMMIT_S = self.commit_s


LedgerMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None, derandomize=True)
TestLedger = LedgerMachine.TestCase
