"""Object storage as such: reading, writing, copying, listing and deleting objects below a URL, by obstore.

What obstore raises becomes what the house knows: a missing object is a missing file, storage that does not answer is a
failing disk, and what the user can mend is one line. Credentials are those of this process's environment; they are
handed to nobody.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from dseld_cli.errors import UserError
from dseld_cli.runtime.text import line

AT_MOST = 1000
"""Objects that one request deletes."""


WITHOUT = {
    "169.254.169.254": "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    "builder error": "its endpoint is plain http, which is refused unless AWS_ALLOW_HTTP=true is in the environment",
}
"""What the environment lacks, by what is said then."""


def require(root: str) -> None:
    """Refuse a place that cannot be used, before anything is computed.

    Raises:
        UserError: if there is no such bucket, access is refused, or obstore is not installed.
        OSError: if the storage cannot be reached.

    """
    try:
        with _said(root):
            _obstore().list_with_delimiter(_opened(root))
    except FileNotFoundError as error:
        raise UserError(f"data.store: there is no {root} ({error.strerror}): make the bucket first") from None


def read(root: str, path: str) -> bytes:
    """Read an object.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if the storage cannot be reached.

    """
    with _said(f"{root}/{path}"):
        return bytes(_obstore().get(_opened(root), path).bytes())


def put(root: str, path: str, data: bytes | Path) -> None:
    """Write an object, over an older one if there is one, whole or not at all.

    Raises:
        OSError: if the storage cannot be reached.

    """
    with _said(f"{root}/{path}"):
        _obstore().put(_opened(root), path, data)


def copy(root: str, source: str, target: str) -> None:
    """Have the server copy an object.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if the storage cannot be reached.

    """
    with _said(f"{root}/{source}"):
        _obstore().copy(_opened(root), source, target)


def delete(root: str, paths: Sequence[str]) -> None:
    """Delete objects, as far as they are there.

    Raises:
        OSError: if the storage cannot be reached.

    """
    for start in range(0, len(paths), AT_MOST):
        with _said(root):
            _obstore().delete(_opened(root), list(paths[start : start + AT_MOST]))


def listed(root: str, below: str = "") -> dict[str, tuple[int, datetime]]:
    """List all objects below a part of a root: name from there, bytes, when it was written.

    Raises:
        OSError: if the storage cannot be reached.

    """
    with _said(f"{root}/{below}"):
        found = [one for some in _obstore().list(_opened(root), prefix=below or None) for one in some]
    start = len(below) + 1 if below else 0
    return {one["path"][start:]: (int(one["size"]), one["last_modified"]) for one in found}


def _obstore() -> Any:
    try:
        import obstore
    except ImportError:
        raise UserError("chunks on object storage need obstore: pip install 'dseld[s3]'") from None
    return obstore


@cache
def _opened(root: str) -> Any:
    _obstore()
    from obstore.store import LocalStore, from_url

    if root.startswith("file://"):
        return LocalStore(root.removeprefix("file://"), mkdir=True)
    return from_url(root)


@contextmanager
def _said(where: str) -> Iterator[None]:
    """Turn what obstore raises into what the house knows.

    Raises:
        FileNotFoundError: if there is no such object, or no such bucket.
        UserError: if access is refused, or the address makes no sense.
        OSError: if the storage cannot be reached.

    """
    _obstore()
    from obstore import exceptions

    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, _short(error), where) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise UserError(
            f"{where}: access is refused ({_short(error)}): credentials are those of the environment, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except (ValueError, exceptions.NotSupportedError, exceptions.UnknownConfigurationKeyError) as error:
        raise UserError(f"{where}: {_short(error)}: data.store is local, or a URL such as s3://BUCKET/PREFIX") from None
    except exceptions.BaseError as error:
        if _short(error) in ("NoSuchBucket", "NoSuchKey"):
            raise FileNotFoundError(errno.ENOENT, _short(error), where) from None
        for sign, said in WITHOUT.items():
            if sign in str(error):
                raise UserError(f"{where}: {said}") from None
        raise OSError(errno.EREMOTEIO, f"no object storage answers ({_short(error)})", where) from None


def _short(error: BaseException) -> str:
    """Take the part of a message that tells something: the server's code, or the first line."""
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    return code[1] if code else line(" ".join(text.partition("Debug source")[0].split()), 160)
