"""A served repository in, the graphs that are measured and who they are out."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from bench.results import Model
from radserve_contract.spec import FilmProfile, ModelKind, Profile


def classifiers(repository: Path, profile: FilmProfile) -> list[Path]:
    """The graphs of the profile's classification networks, in the order of the fusion."""
    return [repository / member.model / "1" / "model.onnx" for member in profile.fusion.members]


def networks(repository: Path, profile: Profile) -> tuple[Model, ...]:
    """Every network of the profile as publishing described it in its config.pbtxt."""
    return tuple(_network(repository / spec.name) for spec in profile.models if spec.kind is ModelKind.NETWORK)


def _network(folder: Path) -> Model:
    config = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), ModelConfig())
    parameters = {name: value.string_value for name, value in config.parameters.items()}
    return Model(
        name=folder.name,
        digest=parameters["radserve_digest_1"],
        trained=parameters["radserve_trained_1"] == "true",
        threads=parameters.get("intra_op_thread_count", "default"),
    )
