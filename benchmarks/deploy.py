"""What a dictionary loses as integers and as spikes: `dseld deploy-check`, kept with where it was measured.

    python benchmarks/deploy.py WORK/mnist --atoms 10000 --memory 6GiB

The project has features of train, val and test, and a dictionary. --quick leaves out what takes long over 50,000 atoms,
integers in one layer and inhibition one step late, and gives memory to the Gramian, by which spikes go faster.
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from facts import keep, takes_json

from dseld_cli.cli.app import app
from dseld_cli.evaluation.deployment import Deployment
from dseld_cli.stages import deploy_check


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--atoms", type=int)
    parser.add_argument("--images", default="all")
    parser.add_argument("--memory", default="6GiB")
    parser.add_argument("--quick", action="store_true")
    takes_json(parser)
    options = parser.parse_args()
    os.chdir(options.project)
    if options.quick:
        made = deploy_check.deployed
        deploy_check.deployed = lambda *its: replace(made(*its), holds_one_layer=False, holds_gramian=True)
        forms = deploy_check._forms
        Deployment.late = lambda its: its.floating(its.params)
        deploy_check._forms = lambda *its: (one for one in forms(*its) if "late" not in one[0])
    some = ["--atoms", str(options.atoms)] if options.atoms else []
    with suppress(SystemExit):  # the command line always ends so; a failure has said why, and leaves no file
        app(["deploy-check", "--images", options.images, "--memory", options.memory, *some])
    keep(options.json, json.loads(Path(f"data/deploy/{options.atoms or 'all'}.json").read_text()))


if __name__ == "__main__":
    main()
