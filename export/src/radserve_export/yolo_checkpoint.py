"""An ultralytics checkpoint file in, what it says about a YOLO11 detector out; nothing of the file is ever run.

Such a file is the pickle of a whole network object. Letting torch's safe reader build ultralytics' own classes is not
safe: it also calls the classes it is allowed to build, and ``DetectionModel`` called with a crafted description
evaluates text of the file as Python. So each of the twenty or so class names that a YOLO11 detector needs stands for
an inert class of ours without methods. What comes out is data: settings, tensors and their places in the tree.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch

from radserve_export.checkpoints import Checkpoint, load_safely, state_dict_of
from radserve_export.errors import ForeignCheckpoint, UnsafeCheckpoint
from radserve_export.yolo_library import model_description

SCALES = ("n", "s", "m", "l", "x")
KINDS = (
    "ultralytics.nn.tasks.DetectionModel",
    *(f"ultralytics.nn.modules.conv.{name}" for name in ("Conv", "DWConv", "Concat")),
    *(
        f"ultralytics.nn.modules.block.{name}"
        for name in ("Attention", "Bottleneck", "C2PSA", "C3k", "C3k2", "DFL", "PSABlock", "SPPF")
    ),
    "ultralytics.nn.modules.head.Detect",
    *(f"torch.nn.modules.container.{name}" for name in ("ModuleList", "Sequential")),
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.batchnorm.BatchNorm2d",
    "torch.nn.modules.activation.SiLU",
    "torch.nn.modules.linear.Identity",
    "torch.nn.modules.pooling.MaxPool2d",
    "torch.nn.modules.upsampling.Upsample",
    "ultralytics.utils.IterableSimpleNamespace",
)
WANTED = "wanted the best.pt of an ultralytics YOLO11 detector (sizes n, s, m, l, x)"
DEEPEST = 32
"""A YOLO11 nests nine deep."""
MOST_MODULES = 10_000
"""A YOLO11x has about 1,000. Modules may share parts, so a small file can hold paths without end."""


class Pickled:
    """What stands for a pickled object: its attributes, and nothing that could be run."""

    kind: ClassVar[str] = ""


STAND_INS = tuple((type("Pickled", (Pickled,), {"kind": kind}), kind) for kind in KINDS)


@dataclass(frozen=True, slots=True)
class YoloCheckpoint:
    """A YOLO11 detector as its file describes it, still data.

    ``scale`` is its size (n, s, m, l, x), ``classes`` its names by class number, ``weights`` its tensors by state-dict
    key (half precision as saved), ``nodes`` the stand-in of each module by its path in the network.
    """

    path: Path
    sha256: str
    scale: str
    classes: tuple[str, ...]
    weights: Mapping[str, torch.Tensor] = field(repr=False)
    nodes: Mapping[str, Pickled] = field(repr=False)

    @property
    def what(self) -> str:
        """What it is, for messages."""
        return f"YOLO11{self.scale} with {len(self.classes)} classes"


def load_yolo11(path: Path) -> YoloCheckpoint:
    """Read ``best.pt`` of a YOLO11 detector of any size.

    Raises
    ------
    CheckpointMissing, UnreadableCheckpoint, UnsafeCheckpoint
        As ``load_safely`` does; nothing of the file was run.
    ForeignCheckpoint
        When it is something else: another network, task or family, a state dict alone, NaN among the weights.
    """
    checkpoint = _load(path)
    network = _network_of(checkpoint.content, path)
    nodes = _nodes_of(network, path)
    tensors = Checkpoint({key: tensor for name, node in nodes.items() for key, tensor in _tensors(node, name)}, "")
    return YoloCheckpoint(
        path=path,
        sha256=checkpoint.sha256,
        scale=_scale_of(network, path),
        classes=_classes_of(network, path),
        weights=state_dict_of(tensors, path),
        nodes=nodes,
    )


def _load(path: Path) -> Checkpoint:
    try:
        return load_safely(path, STAND_INS)
    except UnsafeCheckpoint as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: UnsafeCheckpoint) -> UnsafeCheckpoint | ForeignCheckpoint:
    """The refusal in terms of networks, when every class the file wants beyond ours is a part of one."""
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(path.read_bytes()))
    except Exception:  # not a zip archive, or damaged: what load_safely said is all there is to say
        return error
    strange = sorted(set(wanted) - set(KINDS))
    layers = [name for prefix in ("ultralytics.nn.", "torch.nn.") for name in strange if name.startswith(prefix)]
    if training := [name for name in strange if name.startswith(("ultralytics.utils.loss.", "ultralytics.utils.tal."))]:
        return UnsafeCheckpoint(
            f"{path}: still holds its training state ({training[0]}); {WANTED}. "
            "Run ultralytics.utils.torch_utils.strip_optimizer on it where it was trained"
        )
    if layers:
        return ForeignCheckpoint(f"{path}: is another network, built from {', '.join(layers[:3])}; {WANTED}")
    return error


def _network_of(content: object, path: Path) -> Pickled:
    """The pickled detector: under ``model``, or ``ema`` where training kept the averaged weights apart."""
    if not isinstance(content, Mapping):
        raise ForeignCheckpoint(f"{path}: holds {_named(content)}; {WANTED}")
    network = content.get("ema") if content.get("model") is None else content["model"]
    if network is None:
        found = ", ".join(str(key) for key in list(content)[:3])
        raise ForeignCheckpoint(f"{path}: has no network under 'model' or 'ema', but {found or 'nothing'}; {WANTED}")
    if not isinstance(network, Pickled) or network.kind != KINDS[0]:
        raise ForeignCheckpoint(f"{path}: 'model' is {_named(network)}; {WANTED}")
    return network


def _named(thing: object) -> str:
    return thing.kind if isinstance(thing, Pickled) else f"a {type(thing).__name__}"


def _scale_of(network: Pickled, path: Path) -> str:
    """Size letter of the network's description, which must be YOLO11's layer by layer."""
    description = vars(network).get("yaml")
    if not isinstance(description, Mapping):
        raise ForeignCheckpoint(f"{path}: the network lacks its description ('yaml'); {WANTED}")
    ours = model_description("yolo11n.yaml")
    named = description.get("yaml_file", "without a name")
    for part in ("backbone", "head", "activation"):
        if description.get(part) != ours.get(part):
            raise ForeignCheckpoint(f"{path}: network {named}: its {part} is not YOLO11's; {WANTED}")
    scale = description.get("scale")
    if scale not in SCALES:
        raise ForeignCheckpoint(f"{path}: network {named}: size {scale!r}; {WANTED}")
    return str(scale)


def _classes_of(network: Pickled, path: Path) -> tuple[str, ...]:
    """Class names in order of their numbers, 0 to the last."""
    names: Any = vars(network).get("names")
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or not names or any(number not in names for number in range(len(names))):
        raise ForeignCheckpoint(f"{path}: class names are {names!r:.80}; wanted one for each number from 0")
    ordered = tuple(names[number] for number in range(len(names)))
    if not all(isinstance(name, str) and name.strip() and name.isprintable() for name in ordered):
        raise ForeignCheckpoint(f"{path}: class names are {ordered!r:.80}; wanted printable texts")
    return ordered


def _nodes_of(network: Pickled, path: Path) -> dict[str, Pickled]:
    """Every module by its dotted path, the network itself under ``""``."""
    nodes = dict(islice(_walk(network, "", path), MOST_MODULES + 1))
    if len(nodes) > MOST_MODULES:
        raise ForeignCheckpoint(f"{path}: more than {MOST_MODULES} modules; {WANTED}")
    return nodes


def _walk(node: Pickled, name: str, path: Path) -> Iterator[tuple[str, Pickled]]:
    """Each module under ``node`` with its dotted path, itself first."""
    if name.count(".") > DEEPEST:
        raise ForeignCheckpoint(f"{path}: modules nested more than {DEEPEST} deep at {name[:40]}...; {WANTED}")
    yield name, node
    for child, module in _table(node, "_modules").items():
        if isinstance(module, Pickled):
            yield from _walk(module, f"{name}.{child}".lstrip("."), path)


def _tensors(node: Pickled, name: str) -> Iterator[tuple[str, object]]:
    """Parameters and buffers of one module under their state-dict keys."""
    for table in ("_parameters", "_buffers"):
        for key, tensor in _table(node, table).items():
            if tensor is not None:
                yield f"{name}.{key}".lstrip("."), tensor


def _table(node: Pickled, name: str) -> Mapping[str, Any]:
    table = vars(node).get(name)
    return table if isinstance(table, Mapping) else {}
