"""Addresses as they may be shown: signed queries and logins are secrets, and lines and records get copied."""

import hashlib
import re

_LOGIN = re.compile(r"(?<=//)[^/?#]*@")
_QUERY = re.compile(r"\?[^#]*")
_VALUE = re.compile(r"=[^&;]*")
_BARE = re.compile(r"(?<=[?&;])[^=&;]+(?=[&;]|$)")
_HIDDEN = "***"


def shown(address: str) -> str:
    """The address with ``***`` for each value of its query (the names stay), for its fragment and for a login. A path
    stays as it is."""
    if "://" not in address:
        return address
    address, hash_sign, _ = address.partition("#")
    address = _LOGIN.sub(f"{_HIDDEN}@", address, count=1)
    return _QUERY.sub(_hide_values, address, count=1) + (f"#{_HIDDEN}" if hash_sign else "")


def _hide_values(query: re.Match) -> str:
    return _VALUE.sub(f"={_HIDDEN}", _BARE.sub(_HIDDEN, query[0]))


def recorded(address: str) -> dict[str, str]:
    """What a record says of an address, so that another one is told from it: as it is shown and, where that hides
    something, a SHA-256 of all of it."""
    record = {"address": shown(address)}
    if record["address"] != address:
        record["address_sha256"] = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()
    return record
