"""What a command says with --json in a finished project, kept with when and on what it ran.

python benchmarks/said.py WORK/mnist reconstruct --memory 4GiB --json FILE
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from facts import keep, takes_json
from project import dseld


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("command", help="of dseld")
    takes_json(parser)
    wanted, others = parser.parse_known_args()
    said = dseld(wanted.project, wanted.command, *others, "--json")[2]
    print(said)
    keep(wanted.json, json.loads(said))


if __name__ == "__main__":
    main()
