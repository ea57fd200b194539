"""Sources of the released files: the original's host, a copy of it, or a folder."""

import os
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import url2pathname

from converter.errors import PytsnError
from pytsn.weights.addresses import shown
from pytsn.weights.released_models import HOST, Released


def sources(file: Released, base_url: str | None = None) -> list[str]:
    """Where to look for the file, best first: http(s) addresses, or paths below a folder.

    ``base_url`` (an http, https or file address, or a folder) may hold the original's folders, or the files side by
    side, named as published (.v5) or as saved. Raises PytsnError for any other kind of address.
    """
    flat = file.address.rpartition("/")[2]
    if base_url is None:
        return [f"{HOST}/{file.address}"]
    names = list(dict.fromkeys((file.address, flat, file.name)))
    try:
        address = urlsplit(base_url)
    except ValueError:  # half an IPv6 address, say
        raise PytsnError(f"--base_url {shown(base_url)!r}: not an address") from None
    if address.scheme in ("http", "https"):
        _check_host(base_url)
        folder = address.path.rstrip("/")
        return [urlunsplit(address._replace(path=f"{folder}/{quote(name)}", fragment="")) for name in names]
    folder = _folder(base_url)
    return [os.path.join(folder, name) for name in names]


def _check_host(base_url: str) -> None:
    try:
        address = urlsplit(base_url)
        usable = bool(address.hostname) and (address.port is None or address.port > 0)
    except ValueError:
        usable = False
    if not usable or "@" in address.netloc or not base_url.isprintable() or " " in base_url:
        raise PytsnError(
            f"--base_url {shown(base_url)!r}: an address such as https://host/folder is needed, without a login"
        )


def _folder(base_url: str) -> str:
    address = urlsplit(base_url)
    if address.scheme == "file":
        if address.netloc not in ("", "localhost"):
            raise PytsnError(f"--base_url {shown(base_url)}: files of another machine cannot be read this way")
        base_url = url2pathname(address.path)
    elif "://" in base_url:
        raise PytsnError(
            f"--base_url {shown(base_url)}: only http, https and file addresses and folders are understood"
        )
    if not os.path.isdir(base_url):
        raise PytsnError(f"--base_url {shown(base_url)}: no such folder")
    return base_url
