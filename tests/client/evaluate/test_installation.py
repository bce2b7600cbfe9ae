"""The evaluation needs its extra and nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires

from packaging.markers import Marker
from packaging.requirements import Requirement

HEAVY = {"torch", "torchvision", "tensorflow", "keras", "jax"}


def needed(distribution: str, extra: str) -> set[str]:
    """What installing ``distribution[extra]`` brings along, by the metadata of what is installed."""
    found: set[str] = set()
    queue = [(distribution, extra)]
    while queue:
        name, wanted = queue.pop()
        for line in _requirements(name):
            requirement = Requirement(line)
            if not _applies(requirement.marker, wanted):
                continue
            for further in requirement.extras or {""}:
                if f"{requirement.name.lower()}[{further}]" not in found:
                    found.add(f"{requirement.name.lower()}[{further}]")
                    queue.append((requirement.name, further))
    return {one.partition("[")[0] for one in found}


def _requirements(name: str) -> Sequence[str]:
    try:
        return requires(name) or ()
    except PackageNotFoundError:  # it is overridden by another build of it, or not for this platform
        return ()


def _applies(marker: Marker | None, extra: str) -> bool:
    return marker is None or marker.evaluate({"extra": extra})


def test_the_extra_brings_no_deep_learning():
    brought = needed("radserve-client", "evaluate")
    assert {"scikit-learn", "pyarrow", "scipy"} <= brought  # the walk does walk
    assert not brought & HEAVY


def test_the_walk_finds_what_is_heavy():
    assert "torch" in needed("radserve-export", "")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_the_evaluation_imports_no_torch_and_no_plotting_before_it_is_asked():
    result = run(
        "import sys, radserve_client.cli; print(sorted({'sklearn', 'pyarrow', 'matplotlib'} & set(sys.modules)));"
        "import radserve_client.evaluate.evaluation; print('torch' in sys.modules)"
    )
    assert result.stdout.split("\n")[:2] == ["[]", "False"], result.stderr


def test_without_the_extra_the_command_says_what_to_install(tmp_path):
    (tmp_path / "labels.csv").touch()
    result = run(
        "import sys; sys.modules['sklearn'] = None\n"
        "from radserve_client.cli import app\n"
        f"app(['evaluate', {str(tmp_path)!r}, '--labels', {str(tmp_path / 'labels.csv')!r}, '--out', 'x'])"
    )
    assert result.returncode == 1
    assert "pip install 'radserve-client[evaluate]'" in result.stderr
