"""Runs dseld commands in children that share one start: each is armed with a fault, run, and told about.

Started with faults.c preloaded; reads trials as JSON lines from standard input, answers with JSON lines.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import sys
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a child of a fork has none of its parent's threads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

LAYER = ctypes.CDLL(None)
LAYER.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
LAYER.fault_count.restype = ctypes.c_long


def load() -> Any:
    """Import what commands import, so that no child has to."""
    import importlib
    import pkgutil

    import sklearn.datasets  # noqa: F401

    import dseld_cli
    from dseld_cli.cli.app import app
    from dseld_cli.evaluation import plots
    from dseld_cli.store import spec

    for found in pkgutil.walk_packages(dseld_cli.__path__, "dseld_cli."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    spec.ROWS = 16  # small stores of many chunks
    plots.png = lambda draw, *content: draw.__name__.encode()  # what is tried is how files come and go
    return app


def run(app: Any, trial: dict[str, Any], answer: int) -> None:
    """Be the child: arm, run, say what came of it; the answer's pipe is outside the layer's folder."""
    os.chdir(trial["folder"])
    said = io.StringIO()
    log = trial.get("log")
    LAYER.fault_arm(
        os.fsencode(trial["folder"]), trial["at"], trial["errno"], trial["flags"], os.fsencode(log) if log else None
    )
    code: object = None
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            app(trial["command"])
        except SystemExit as error:
            code = error.code
        except BaseException:
            traceback.print_exc()
            code = 99
    found = {"code": code, "said": said.getvalue(), "operations": LAYER.fault_count()}
    LAYER.fault_arm(b"", -1, 0, 0, None)
    os.write(answer, json.dumps(found).encode())
    os._exit(0)


def verify(folder: str) -> dict[str, str]:
    """Fingerprint of every store that can be opened, all of it verified; what is wrong with the others."""
    from dseld_cli import store
    from dseld_cli.errors import UserError
    from dseld_cli.store import disk
    from dseld_cli.store.provenance import INFOS

    os.chdir(folder)
    names = {path.with_suffix("") if path.suffix in (".retired",) else path for path in Path().rglob("*.zarr*")}
    found = {}
    for path in sorted(path for path in names if path.suffix == ".zarr"):
        kind = disk.kind_of(path) or disk.kind_of(disk.beside(path, ".retired"))
        info = next((info for info in INFOS if info.kind == kind), None)
        try:
            assert info is not None, f"{path} has no mark"
            opened = store.open_store(path, info)
            for name, key in opened.all_chunks():
                opened.chunk(name, key)
            found[str(path)] = opened.fingerprint
        except (UserError, AssertionError) as error:
            found[str(path)] = f"damaged: {error}"
    return found


def started(app: Any, trial: dict[str, Any]) -> tuple[int, int]:
    """Run a trial in a child: its process, and the pipe that its answer comes from."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        if trial["command"] == ["verify-all"]:
            os.write(write, json.dumps(verify(trial["folder"])).encode())
            os._exit(0)
        run(app, trial, write)
    os.close(write)
    return child, read


def ended(child: int, read: int) -> dict[str, Any]:
    """Wait for a child: its answer, and whether it was killed."""
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return {**(json.loads(answer) if answer else {}), "killed": os.WIFSIGNALED(status)}


def main() -> None:
    app = load()
    print("ready", flush=True)
    for line in sys.stdin:
        trial = json.loads(line)
        first = started(app, trial)
        if beside := trial.get("beside"):
            time.sleep(trial["delay"])
            second = ended(*started(app, {**trial, "command": beside}))
            print(json.dumps({"first": ended(*first), "second": second}), flush=True)
        else:
            print(json.dumps(ended(*first)), flush=True)


if __name__ == "__main__":
    main()
