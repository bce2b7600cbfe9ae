"""A run from the source to the rows: what is done stays done, what changed is done again, what stops it is said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from radserve_devstack.ports import Ports
from radserve_devstack.stack import own_environment
from tests.client.fake_service import FakeService
from tests.client.score.fake_archive import Service, archive_service, make_films, rows, run_document, score
from tests.client.test_cli import RADSERVE
from tests.live_service import wait_for


@pytest.fixture
def served() -> Iterator[tuple[Service, FakeService]]:
    with archive_service() as pair:
        yield pair


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return make_films(tmp_path / "films", 20)


def test_every_file_is_a_row_and_3_says_that_some_failed(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    result = score(served[1].url, films, tmp_path / "out")
    assert result.exit_code == 3, result.output
    found = rows(tmp_path / "out")
    assert sorted(found) == [path.name for path in sorted(films.iterdir())]
    failed = {name: row["error_code"] for name, row in found.items() if row["status"] == "failed"}
    assert failed == {"009.dcm": "WRONG_BODY_PART", "019.dcm": "WRONG_BODY_PART"}
    assert "18 ok, 2 failed (WRONG_BODY_PART 2), 0 skipped" in result.stderr
    assert run_document(tmp_path / "out")["runs"][-1]["state"] == "finished"


def test_everything_is_asked_for_as_routine_and_no_file_name_is_sent(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    score(served[1].url, films, tmp_path / "out", "--detect", "never", "--profile", "deployed")
    asked = [request for request in served[1].asked if request.method == "POST"]
    assert {request.target.partition("?")[2] for request in asked} == {"profile=deployed&priority=routine&detect=never"}
    assert not any(b".dcm" in request.body for request in asked)


def test_all_well_is_0_and_nothing_new_to_do_asks_nothing_and_says_the_same(
    served: tuple[Service, FakeService], tmp_path: Path
) -> None:
    films = make_films(tmp_path / "films", 9)
    assert score(served[1].url, films, tmp_path / "out").exit_code == 0
    before = rows(tmp_path / "out")
    again = score(served[1].url, films, tmp_path / "out")
    assert again.exit_code == 0
    assert len(served[0].scored) == 9
    assert "0 ok, 0 failed, 9 skipped" in again.stderr
    assert rows(tmp_path / "out") == before


def test_a_resumed_run_still_says_that_some_failed(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    assert [score(served[1].url, films, tmp_path / "out").exit_code for _ in range(2)] == [3, 3]
    assert len(served[0].scored) == 20, "what is wrong with a study is not asked for again"


def test_nothing_scored_is_1(served: tuple[Service, FakeService], tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "one.dcm").write_text("chest")
    assert score(served[1].url, folder, tmp_path / "out").exit_code == 1
    assert rows(tmp_path / "out")["one.dcm"]["error_code"] == "WRONG_BODY_PART"


def test_retry_failed_asks_for_the_failed_ones_alone(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    score(served[1].url, films, tmp_path / "out")
    score(served[1].url, films, tmp_path / "out", "--retry-failed")
    assert len(served[0].scored) == 22
    assert len(rows(tmp_path / "out")) == 20


def test_a_file_that_changed_is_scored_again_and_its_row_replaced(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    score(served[1].url, films, tmp_path / "out")
    (films / "004.dcm").write_text("an abnormal spine")
    score(served[1].url, films, tmp_path / "out")
    assert len(served[0].scored) == 21
    found = rows(tmp_path / "out")
    assert len(found) == 20
    assert found["004.dcm"]["decision"]["label"] == "abnormal"


def test_verify_finds_content_that_changed_behind_an_unchanged_size_and_time(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    score(served[1].url, films, tmp_path / "out")
    changed = films / "004.dcm"
    before = changed.stat()
    changed.write_bytes(b"s" + changed.read_bytes()[1:][::-1])
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    score(served[1].url, films, tmp_path / "out")
    assert len(served[0].scored) == 20, "size and time are the same"
    result = score(served[1].url, films, tmp_path / "out", "--verify")
    assert len(served[0].scored) == 21, result.output
    assert run_document(tmp_path / "out")["runs"][-1]["figures"]["verified"] == 20
    assert len(rows(tmp_path / "out")) == 20


def test_pictures_are_kept_when_they_are_asked_for(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    score(served[1].url, films, tmp_path / "out", "--overlay")
    found = rows(tmp_path / "out")
    written = [row["overlay_file"] for row in found.values() if row["status"] == "ok"]
    assert len(written) == 18
    assert all((tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG") for name in written)


def test_other_models_at_the_start_stop_it_with_4_and_record_keeps_both(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    score(served[1].url, films, tmp_path / "out")
    served[0].digest = "cd" * 32
    result = score(served[1].url, films, tmp_path / "out")
    assert result.exit_code == 4
    assert "spine_densenet121" in result.stderr
    assert "--on-model-change record" in result.stderr
    assert len(served[0].scored) == 20
    assert score(served[1].url, films, tmp_path / "out", "--on-model-change", "record").exit_code == 3
    assert digests(tmp_path / "out") == {"ab": 18, "cd": 18}


def test_other_models_half_way_stop_it_with_4_and_what_is_done_is_kept(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    served[0].before_answer = lambda number: setattr(served[0], "digest", ("ab" if number <= 10 else "cd") * 32)
    result = score(served[1].url, films, tmp_path / "out", "--window", "1")
    assert result.exit_code == 4
    assert "changed while the run went on" in result.stderr
    assert digests(tmp_path / "out") == {"ab": spines(served[0].scored[:10])}
    assert run_document(tmp_path / "out")["runs"][-1]["state"] == "failed"


def test_other_models_half_way_are_recorded_when_that_was_asked_for(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    served[0].before_answer = lambda number: setattr(served[0], "digest", ("ab" if number <= 10 else "cd") * 32)
    result = score(served[1].url, films, tmp_path / "out", "--window", "1", "--on-model-change", "record")
    assert result.exit_code == 3
    first = spines(served[0].scored[:10])
    assert digests(tmp_path / "out") == {"ab": first, "cd": 18 - first}
    assert "rows from here on name the new ones" in result.stderr


def spines(bodies: Sequence[bytes]) -> int:
    """How many of the requests are answered with scores."""
    return sum(b"chest" not in body for body in bodies)


def digests(out: Path) -> dict[str, int]:
    """How many rows each set of models has."""
    import pyarrow.parquet as pq

    table = [row for part in (out / "results").glob("*.parquet") for row in pq.read_table(part).to_pylist()]
    found = [row["models"][0]["digest"][:2] for row in table if row["models"]]
    return {digest: found.count(digest) for digest in sorted(set(found))}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_it_with_130_keeps_what_is_done_and_it_goes_on_later(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path, number: int
) -> None:
    served[0].before_answer = lambda count: os.kill(os.getpid(), number) if count == 8 else None
    result = score(served[1].url, films, tmp_path / "out", "--window", "1")
    assert result.exit_code == 130, result.output
    assert "the same command goes on" in result.stderr
    first = rows(tmp_path / "out")
    assert len(first) < 20
    assert f": {sum(row['status'] == 'ok' for row in first.values())} ok, " in result.stderr, "what it counted is there"
    assert run_document(tmp_path / "out")["runs"][-1]["state"] == "interrupted"
    served[0].before_answer = lambda _: None
    assert score(served[1].url, films, tmp_path / "out").exit_code == 3
    assert len(rows(tmp_path / "out")) == 20
    assert len(served[0].scored) <= 20 + 20 - len(first)


def test_a_second_run_into_the_same_output_is_refused_with_5(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    seconds = []

    def second(count: int) -> None:
        if count == 5:
            command: list[str | Path] = [RADSERVE, "score", films, "--pipeline", "spine", "--out", tmp_path / "out"]
            environ = own_environment() | {"RADSERVE_CLIENT_URL": served[1].url}
            seconds.append(subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120))

    served[0].before_answer = second
    first = score(served[1].url, films, tmp_path / "out", "--window", "1")
    assert (first.exit_code, seconds[0].returncode) == (3, 5), seconds[0].stderr
    assert str(tmp_path / "out") in seconds[0].stderr
    assert len(rows(tmp_path / "out")) == 20


def test_a_server_that_is_away_for_longer_than_the_patience_is_1_and_no_item_failed(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    served[0].before_answer = lambda count: setattr(served[0], "away", count >= 8)
    result = score(served[1].url, films, tmp_path / "out", "--window", "1", "--patience", "1")
    assert result.exit_code == 1
    assert "waiting for the server: " in result.stderr
    assert "TRITON_UNAVAILABLE" in result.stderr
    assert "no answer on any item" in result.stderr
    assert {row["error_code"] for row in rows(tmp_path / "out").values()} <= {None, "WRONG_BODY_PART"}
    served[0].before_answer = lambda _: None
    served[0].away = False
    assert score(served[1].url, films, tmp_path / "out").exit_code == 3
    assert len(rows(tmp_path / "out")) == 20


def test_metrics_of_the_run_are_served_where_it_says(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    result = score(served[1].url, films, tmp_path / "out", "--metrics-port", "0")
    assert "metrics on http://127.0.0.1:" in result.stderr


def test_quiet_says_nothing(served: tuple[Service, FakeService], films: Path, tmp_path: Path) -> None:
    result = score(served[1].url, films, tmp_path / "out", "--quiet")
    assert (result.exit_code, result.output) == (3, "")


def test_the_number_of_items_is_found_out_while_the_run_goes_on(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    expected: list[float] = []

    def look(count: int) -> None:
        if count == 10:
            wait_for(lambda: bool(metrics_of("radserve_score_expected_items")), timeout_s=60)
            expected.extend(metrics_of("radserve_score_expected_items"))

    def metrics_of(name: str) -> list[float]:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        return [float(value) for value in re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)]

    port = Ports().settled("127.0.0.1").service
    served[0].before_answer = look
    result = score(served[1].url, films, tmp_path / "out", "--window", "1", "--metrics-port", str(port))
    assert result.exit_code == 3, result.output
    assert expected == [20]


def test_ctrl_c_is_heard_while_it_waits_for_a_server_that_was_never_there(films: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{Ports().settled('127.0.0.1').service}"
    command: list[str | Path] = [
        RADSERVE,
        "score",
        films,
        "--pipeline",
        "spine",
        "--out",
        tmp_path / "out",
        "--url",
        url,
    ]
    log = tmp_path / "log"
    with log.open("wb") as stream, subprocess.Popen(command, env=own_environment(), stderr=stream) as process:
        try:
            wait_for(lambda: "waiting for the server" in log.read_text(), timeout_s=120)
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 130
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()
    assert not (tmp_path / "out" / "results").exists()
