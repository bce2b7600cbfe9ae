"""The `radserve` command as a shell sees it: stdout, stderr, exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.client.fake_service import (
    PNG,
    Asked,
    FakeService,
    Reply,
    findings,
    ok,
    refusal,
    scored,
    served_pipelines,
    serving,
)

RADSERVE = Path(sys.executable).with_name("radserve")


def environment(url: str, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RADSERVE_")}
    return clean | {"RADSERVE_CLIENT_URL": url, "RADSERVE_CLIENT_LONGEST_PAUSE_S": "0.05", **more}


def radserve(service: FakeService | str, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    url = service if isinstance(service, str) else service.url
    command = [str(RADSERVE), *map(str, arguments)]
    return subprocess.run(command, env=environment(url, **more), capture_output=True, text=True, timeout=60)


def by_content(asked: Asked) -> Reply:
    """Chests are refused, spines scored."""
    return refusal(422, "WRONG_BODY_PART", "a chest\nnot a spine") if b"chest" in asked.body else scored(asked)


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    """spine.dcm, chest.dcm, b/spine.dcm"""
    (tmp_path / "b").mkdir()
    paths = [tmp_path / "spine.dcm", tmp_path / "chest.dcm", tmp_path / "b/spine.dcm"]
    for path, content in zip(paths, (b"spine", b"chest", b"another spine"), strict=True):
        path.write_bytes(content)
    return paths


def cells(stdout: str) -> list[Sequence[str]]:
    return [line.split("\t") for line in stdout.splitlines()]


def test_all_scored_is_0_and_stdout_holds_the_table_alone(films: list[Path]) -> None:
    with serving(scored) as service:
        result = radserve(service, "predict", films[0])
    assert result.returncode == 0
    header, row = cells(result.stdout)
    assert dict(zip(header, row, strict=True)) == {
        "file": str(films[0]),
        "result": "abnormal",
        "probability": "0.7312",
        "threshold": "> 0.449",
        "members": "densenet121=0.7312",
        "boxes": "1",
        "weights": "UNTRAINED",
        "note": "LOSSY_COMPRESSION: compressed with loss",
    }
    assert "[1/1]" in result.stderr
    assert "UNTRAINED" in result.stderr
    assert "research use only" in result.stderr


def test_some_refused_is_3_and_each_shows_code_and_message(films: list[Path]) -> None:
    with serving(by_content) as service:
        result = radserve(service, "predict", *films)
    assert result.returncode == 3
    rows = cells(result.stdout)[1:]
    assert [(row[0], row[1]) for row in rows] == [
        (str(films[0]), "abnormal"),
        (str(films[1]), "WRONG_BODY_PART"),
        (str(films[2]), "abnormal"),
    ]
    assert rows[1][-1] == "a chest not a spine"


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_file_name_that_is_no_text_does_not_stop_the_others(
    tmp_path: Path, options: list[str], encoding: str
) -> None:
    films = [tmp_path / os.fsdecode(name) for name in (b"caf\xe9.dcm", "\u4e2d.dcm".encode(), b"spine.dcm")]
    for film in films:
        film.write_bytes(b"spine")
    with serving(scored) as service:
        result = radserve(service, "predict", *films, *options, PYTHONIOENCODING=encoding)
    assert (result.returncode, "Traceback" in result.stderr) == (0, False)
    rows = result.stdout.splitlines()
    if options:
        assert [json.loads(row)["file"] for row in rows] == list(map(str, films))
    else:
        assert "caf\\udce9.dcm\tabnormal" in rows[1]
        assert "spine.dcm\tabnormal" in rows[3]


@pytest.mark.parametrize(
    ("url", "more", "named"),
    [
        ("http://[::1", {}, "http://[::1"),
        ("127.0.0.1:8080", {}, "127.0.0.1:8080"),
        ("", {}, "an empty text is no address"),  # not the default: studies go where they were sent, or nowhere
        ("ftp://radserve.example", {}, "ftp://radserve.example"),
        ("http://radserve.example:99999", {}, "http://radserve.example:99999"),
        ("http://127.0.0.1:9", {"RADSERVE_CLIENT_CA_FILE": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
    ],
)
def test_an_address_that_is_none_is_2_and_named(films: list[Path], url: str, more: dict[str, str], named: str) -> None:
    result = radserve("http://127.0.0.1:9", "predict", films[0], "--url", url, **more)
    assert result.returncode == 2
    assert result.stderr.startswith("radserve: ")
    assert named in result.stderr
    assert result.stderr.count("\n") == 1


def test_none_scored_is_1(films: list[Path]) -> None:
    with serving(by_content) as service:
        assert radserve(service, "predict", films[1], "--quiet").returncode == 1


def test_json_is_a_line_per_file_in_order(films: list[Path]) -> None:
    def first_is_slow(asked: Asked) -> Reply:
        time.sleep(0.3 if b"\r\nspine\r\n" in asked.body else 0)
        return by_content(asked)

    with serving(first_is_slow) as service:
        result = radserve(service, "predict", "--json", "--quiet", *films)
    assert result.returncode == 3
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["file"] for line in lines] == list(map(str, films))
    assert lines[0]["findings"] == findings()
    assert lines[1]["error"]["code"] == "WRONG_BODY_PART"
    assert lines[1]["error"]["http_status"] == 422
    assert "findings" not in lines[1]
    assert "[1/3]" not in result.stderr


def test_overlays_of_one_name_do_not_overwrite_each_other(films: list[Path], tmp_path: Path) -> None:
    with serving(by_content) as service:
        result = radserve(service, "predict", "--json", "--overlay", tmp_path / "new/out", *films)
    written = sorted((tmp_path / "new/out").iterdir())
    assert len(written) == 2
    assert all(path.read_bytes() == PNG for path in written)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["overlay"] for line in lines if "overlay" in line] == [
        str(tmp_path / "new/out" / f"{tmp_path.name}-spine.dcm.overlay.png"),
        str(tmp_path / "new/out/b-spine.dcm.overlay.png"),
    ]


def test_an_overlay_that_fails_keeps_the_findings_and_counts_as_failed(films: list[Path], tmp_path: Path) -> None:
    def no_overlay(asked: Asked) -> Reply:
        return refusal(503, "TRITON_UNAVAILABLE") if asked.headers["Accept"] == "image/png" else ok(findings())

    with serving(no_overlay) as service:
        result = radserve(service, "predict", "--json", "--overlay", tmp_path / "out", films[0])
    line = json.loads(result.stdout)
    assert result.returncode == 1
    assert line["findings"]["decision"]["label"] == "abnormal"
    assert line["error"]["code"] == "TRITON_UNAVAILABLE"
    assert list((tmp_path / "out").iterdir()) == []


def test_options_reach_the_service(films: list[Path]) -> None:
    options = ["--pipeline", "head_ct", "--profile", "published", "--priority", "stat", "--detect", "never"]
    with serving(scored) as service:
        radserve("http://127.0.0.1:9", "predict", films[0], *options, "--url", service.url)
    wanted = "/v1/pipelines/head_ct/predict?profile=published&priority=stat&detect=never"
    assert [asked.target for asked in service.asked] == [wanted]


def test_pipelines_lists_profiles_their_state_and_their_weights() -> None:
    document = served_pipelines()
    with serving(lambda _: ok(document)) as service:
        table = radserve(service, "pipelines")
        as_json = radserve(service, "pipelines", "--json")
    assert table.returncode == as_json.returncode == 0
    assert cells(table.stdout) == [
        ["pipeline", "profile", "default", "state", "weights"],
        ["spine", "deployed", "*", "ready", "UNTRAINED"],
        ["spine", "published", "", "not loaded", ""],
    ]
    assert json.loads(as_json.stdout) == document
    assert [asked.target for asked in service.asked] == ["/v1/pipelines"] * 2


def test_pipelines_of_something_else_is_1() -> None:
    with serving(lambda _: ok({"pipelines": [{"name": "x"}]})) as service:
        result = radserve(service, "pipelines")
    assert result.returncode == 1
    assert "BAD_ANSWER" in result.stderr
    assert result.stdout == ""
    assert radserve("http://127.0.0.1:9", "pipelines").returncode == 1


def test_busy_is_waited_for(films: list[Path]) -> None:
    replies = [refusal(429, "BUSY", **{"Retry-After": "1"}), ok(findings())]
    with serving(lambda _: replies.pop(0)) as service:
        assert radserve(service, "predict", films[0]).returncode == 0


def test_nobody_listening_is_1_with_plain_advice_and_no_traceback(films: list[Path]) -> None:
    result = radserve("http://127.0.0.1:9", "predict", *films)
    assert result.returncode == 1
    assert "make serve" in result.stderr
    assert "RADSERVE_CLIENT_URL" in result.stderr
    assert "Traceback" not in result.stderr
    assert [row[1] for row in cells(result.stdout)[1:]] == ["UNREACHABLE"] * 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["predict"], "PATH"),
        (["predict", "gone.dcm"], "gone.dcm"),
        (["predict", "--priority", "now", __file__], "now"),
        (["predict", "--overlay", __file__, __file__], "overlay"),
        (["predict", "--overlay", f"{__file__}/x", __file__], "folder"),
        (["score"], "score"),
    ],
)
def test_wrong_usage_is_2_and_asks_the_service_nothing(arguments: list[str], named: str) -> None:
    with serving(scored) as service:
        result = radserve(service, *arguments)
    assert result.returncode == 2
    assert named in result.stderr
    assert result.stdout == ""
    assert service.asked == []


def test_an_empty_folder_is_a_study_that_failed(tmp_path: Path) -> None:
    with serving(scored) as service:
        result = radserve(service, "predict", "--pipeline", "spine", tmp_path)
    assert result.returncode == 1
    assert "UNREADABLE_FILE" in result.stdout
    assert service.asked == []


def test_a_misspelt_setting_is_wrong_usage(films: list[Path]) -> None:
    result = radserve("http://127.0.0.1:9", "predict", films[0], RADSERVE_CLIENT_RETRIES="3")
    assert result.returncode == 2
    assert "RADSERVE_CLIENT_RETRIES" in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_ends_it_at_once_with_130(films: list[Path]) -> None:
    asked, release = threading.Event(), threading.Event()

    def hang(_: Asked) -> Reply:
        asked.set()
        release.wait(120)
        return ok(findings())

    with serving(hang) as service:
        command = [str(RADSERVE), "predict", *map(str, films)]
        process = subprocess.Popen(
            command, env=environment(service.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)  # the service would answer after two minutes
        release.set()
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""


def test_a_reader_that_leaves_early_causes_no_traceback(films: list[Path]) -> None:
    with serving(scored) as service:
        command = f"{RADSERVE} predict --json --quiet {' '.join(map(str, films * 20))} | head -n 1"
        result = subprocess.run(
            ["bash", "-c", command], env=environment(service.url), capture_output=True, text=True, timeout=60
        )
    assert json.loads(result.stdout)["file"] == str(films[0])
    assert "Traceback" not in result.stderr
