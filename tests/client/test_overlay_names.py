"""Input paths in, overlay paths out."""

from __future__ import annotations

from pathlib import Path

import pytest

from radserve_client.overlay_names import overlay_paths


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["film.dcm"], ["film"]),
        (["a/film.dcm", "b/film.dcm"], ["a-film.dcm", "b-film.dcm"]),
        (["film.dcm", "film.png"], ["film.dcm", "film.png"]),
        (["a/1/film.dcm", "b/1/film.dcm", "other.dcm"], ["a-1-film.dcm", "b-1-film.dcm", "other"]),
        (["a/Film.dcm", "b/film.dcm"], ["a-Film.dcm", "b-film.dcm"]),
        (["film.dcm", "film.dcm"], ["film", "film-2"]),
        (["noext"], ["noext"]),
    ],
)
def test_files_of_one_name_are_told_apart_by_their_folders(files: list[str], names: list[str]) -> None:
    paths = overlay_paths([Path(file) for file in files], Path("out"))
    assert [path.name.removesuffix(".overlay.png") for path in paths] == names
    assert all(path.parent == Path("out") for path in paths)


def test_an_input_is_never_written_over() -> None:
    files = [Path("out/film"), Path("out/film.overlay.png")]
    paths = overlay_paths(files, Path("out"))
    assert not set(paths) & set(files)


@pytest.mark.parametrize("spelt", ["out/../out/film.overlay.png", "link/film.overlay.png", "film-link"])
def test_an_input_is_never_written_over_however_it_is_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelt: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    (tmp_path / "out/film.overlay.png").write_bytes(b"a film")
    (tmp_path / "film-link").symlink_to("out/film.overlay.png")
    paths = overlay_paths([Path("film.dcm"), Path(spelt)], Path("out"))
    assert Path("out/film.overlay.png") not in paths
    assert all(path.parent == Path("out") for path in paths)


def test_no_two_overlays_share_a_path_even_when_folders_spell_alike() -> None:
    files = [Path("a-b/c.dcm"), Path("a/b-c.dcm"), Path("x/a-b/c.dcm"), Path("x/a/b-c.dcm"), Path("b-c.dcm")]
    paths = overlay_paths(files, Path("out"))
    assert len({path.name.casefold() for path in paths}) == len(files)


def test_ten_thousand_films_take_no_time() -> None:
    files = [Path(f"archive/{number // 10}/film-{number % 10}.dcm") for number in range(10_000)]
    assert len(set(overlay_paths(files, Path("out")))) == 10_000
