"""Where stores live: below data, which git leaves to DVC."""

from pathlib import Path

from dseld_cli.store import project as paths
from tests.conftest import ROOT


def test_git_is_told_to_leave_alone_whatever_a_command_writes_below_data() -> None:
    ignored = {line.strip("/") for line in (ROOT / "data/.gitignore").read_text().splitlines()}
    places = [value for value in vars(paths).values() if isinstance(value, Path) and value != paths.DATA]
    places += [of("test") for of in (paths.features, paths.codes, paths.evaluation)]
    places += [of("class-sum") for of in (paths.network, paths.calibration)]
    places += [of("class-sum", "test") for of in (paths.baseline, paths.predictions)]
    assert {place.relative_to(paths.DATA).parts[0] for place in places} <= ignored
