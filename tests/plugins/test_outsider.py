"""A third party's distribution, installed beside fmbench, is found and used like a built-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
from fmbench.plugins.registry import load_registry

registry = load_registry()
wanted = {"solver": "ralston", "path": "power", "metric": "mean_distance"}
found = {}
for kind, name in wanted.items():
    entry, spec = registry.entry(kind, name), registry.spec(kind, name)
    found[kind] = {"owners": [entry.owner, spec.owner], "parameters": dict(spec.parameters), "label": spec.label}
found["torch before building"] = "torch" in sys.modules
found["order"] = registry.attribute(registry.spec("solver", "ralston"), "order")
found["provides"] = registry.attribute(registry.spec("path", "power"), "provides")
found["built"] = type(registry.build(registry.spec("path", "power", {"exponent": 3}))).__name__
found["failures"] = [str(failure) for failure in registry.failures]
print(json.dumps(found))
"""


def test_the_outsiders_components_are_listed_and_resolved(outsider_site: Path, tmp_path: Path) -> None:
    paths = [str(outsider_site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "FMBENCH_PLUGINS": ""}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for kind in ("solver", "path", "metric"):
        assert found[kind]["owners"] == ["fmbench-outsider 0.1.0"] * 2
    assert found["path"]["parameters"] == {"exponent": 2.0}
    assert found["path"]["label"] == "power"
    assert found["order"] == 2
    assert found["provides"] == ["affine", "gaussian"]
    assert found["built"] == "Power"
    assert found["torch before building"] is False
    assert not [failure for failure in found["failures"] if "outsider" in failure]
