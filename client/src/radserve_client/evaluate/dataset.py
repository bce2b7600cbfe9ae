"""A dataset of ``radserve score`` in; the rows of one pipeline, one profile and one set of models out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from radserve_client.evaluate.errors import MixedResults, UnreadableResults, examples
from radserve_client.evaluate.values import Model
from radserve_client.score.schema import FAILED, MANIFEST, OK, SCHEMA_VERSION, VERSION_KEY

_COLUMNS = (
    "item_key source study_instance_uid series_instance_uid sop_instance_uid content_sha256 pipeline profile status"
    " error_code trained decision labels organs slices segmentation detections image models mask_file"
).split()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for; None is whatever there is, as long as it is one thing.

    ``digests`` are beginnings of model digests: rows in which a model of the same name has another one are left out.
    """

    pipeline: str | None = None
    profile: str | None = None
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The rows to evaluate, all ``ok``, in a fixed order; and what was left out.

    ``of_others`` are rows of another pipeline, profile or model.
    """

    pipeline: str
    profile: str
    models: tuple[Model, ...]
    trained: bool
    rows: pa.Table
    read: int
    of_others: int
    failed_by_code: Mapping[str, int]

    @property
    def failed(self) -> int:
        """Rows without an answer."""
        return sum(self.failed_by_code.values())


def read_rows(results: Path) -> pa.Table:
    """All rows, only the columns that an evaluation needs and those of the manifest.

    Parameters
    ----------
    results
        ``--out`` of ``radserve score``, a folder of Parquet files, or one such file.

    Raises
    ------
    UnreadableResults
        No Parquet file there, a damaged one, one of another schema version, or one that lacks a column.
    """
    parts = [_part(path) for path in _files(results)]
    try:
        # permissive: of two runs, one may have had whole numbers in a column of its manifest and one fractions
        rows = pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise UnreadableResults(f"the Parquet files in {results} do not fit together: {error}") from None
    if not rows.num_rows:
        raise UnreadableResults(f"{results} has no rows: nothing was scored yet")
    return rows


def _files(results: Path) -> Sequence[Path]:
    if results.is_file():
        return [results]
    for folder in (results / "results", results):
        found = sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))
        if found:
            return found
    raise UnreadableResults(
        f"no Parquet files in {results}; wanted the folder given to `radserve score --out`, or its results folder"
    )


def _part(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            _check(path, file.schema_arrow)
            carried = [name for name in file.schema_arrow.names if name.startswith(MANIFEST)]
            return file.read([*_COLUMNS, *carried]).replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableResults(f"{path} cannot be read as Parquet: {error}") from None


def _check(path: Path, schema: pa.Schema) -> None:
    version = (schema.metadata or {}).get(VERSION_KEY, b"").decode()
    if version != SCHEMA_VERSION:
        raise UnreadableResults(
            f"{path} has schema version {version or 'none'}, wanted {SCHEMA_VERSION}: it is not of this radserve score"
        )
    missing = [name for name in _COLUMNS if name not in schema.names]
    if missing:
        raise UnreadableResults(f"{path} lacks the columns {', '.join(missing)}")


def choose(rows: pa.Table, wanted: Wanted) -> Chosen:
    """The rows of one pipeline, profile and set of models.

    Raises
    ------
    MixedResults
        Several are there and ``wanted`` does not say which, or what it says is not there.
    UnreadableResults
        Not one row has an answer.
    """
    mine = rows.filter(_asked(rows, wanted))
    if not mine.num_rows:
        raise MixedResults(f"no row is of what was asked for; there are: {_listing(rows)}")
    pairs = mine.group_by(["pipeline", "profile"]).aggregate([]).num_rows
    if pairs > 1:
        raise MixedResults(
            f"the rows are of several pipelines or profiles: {_listing(mine)}."
            " Each has figures of its own: choose one with --pipeline and --profile"
        )
    ok = _of_digests(mine.filter(pc.equal(mine["status"], OK)), wanted.digests)
    failed = mine.filter(pc.equal(mine["status"], FAILED))
    codes = failed.group_by("error_code").aggregate([([], "count_all")]).to_pylist()
    failed_by_code = {str(code["error_code"]): code["count_all"] for code in codes}
    if not ok.num_rows:
        raise UnreadableResults(f"no row has an answer; failed: {_counted(failed_by_code) or 'none'}")
    return Chosen(
        pipeline=ok["pipeline"][0].as_py(),
        profile=ok["profile"][0].as_py(),
        models=_one_of_each(_models(ok)),
        trained=bool(pc.all(pc.fill_null(ok["trained"], False)).as_py()),
        rows=ok.sort_by("item_key"),
        read=rows.num_rows,
        of_others=rows.num_rows - ok.num_rows - failed.num_rows,
        failed_by_code=dict(sorted(failed_by_code.items())),
    )


def _asked(rows: pa.Table, wanted: Wanted) -> pa.ChunkedArray:
    mask = pc.is_valid(rows["pipeline"])
    for column, value in (("pipeline", wanted.pipeline), ("profile", wanted.profile)):
        if value is not None:
            mask = pc.and_(mask, pc.equal(rows[column], value))
    return mask


def _listing(rows: pa.Table) -> str:
    found = rows.group_by(["pipeline", "profile"]).aggregate([([], "count_all")]).to_pylist()
    return _counted({f"{one['pipeline']}/{one['profile']}": one["count_all"] for one in found})


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))


def _of_digests(ok: pa.Table, digests: Sequence[str]) -> pa.Table:
    """Without the rows in which a model has another digest than asked for.

    A row need not have every model: the detector takes part in abnormal films only.
    """
    for digest in digests:
        found = [model for model in _models(ok) if model.digest.startswith(digest)]
        if len({(model.name, model.digest) for model in found}) != 1:
            raise MixedResults(
                f"--digest {digest} is of {len(found)} models, wanted 1; there are: {_named(_models(ok))}"
            )
        flat, parents = _flat_models(ok)
        same_name = pc.equal(flat.field("name"), found[0].name)
        other = pc.and_(same_name, pc.not_equal(flat.field("digest"), found[0].digest))
        left_out = pc.unique(parents.filter(other))
        ok = ok.filter(pc.invert(pc.is_in(pa.array(range(ok.num_rows), parents.type), left_out)))
    return ok


def _flat_models(rows: pa.Table) -> tuple[pa.StructArray, pa.Array]:
    """Every model of every row, and the number of its row."""
    column = rows["models"].combine_chunks()
    return pc.list_flatten(column), pc.list_parent_indices(column)


def _models(rows: pa.Table) -> list[Model]:
    """Every model that took part in a row, each once, by name."""
    flat, _ = _flat_models(rows)
    table = pa.Table.from_struct_array(flat).select([*Model.__dataclass_fields__])
    found = {Model(**one) for one in table.group_by(table.column_names).aggregate([]).to_pylist()}
    return sorted(found, key=lambda model: (model.name, model.version, model.digest))


def _one_of_each(models: Sequence[Model]) -> tuple[Model, ...]:
    names = [model.name for model in models]
    several = [model for model in models if names.count(model.name) > 1]
    if several:
        raise MixedResults(
            f"the rows are of several models of one name: {_named(several)}."
            " Each has figures of its own: choose with --digest (its first characters are enough)"
        )
    return tuple(models)


def _named(models: Sequence[Model]) -> str:
    return ", ".join(f"{model.name} version {model.version} {model.digest[:12]}" for model in models)


def sources(rows: pa.Table) -> Iterator[str]:
    """Where the rows are from, for messages."""
    return (str(source) for source in rows["source"].to_pylist())


def shown(rows: pa.Table) -> str:
    """A few sources, for a message."""
    return examples(sources(rows.slice(0, 3)), total=rows.num_rows)
