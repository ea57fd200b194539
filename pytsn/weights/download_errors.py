"""Download errors in words, and which of them are worth another try.

Sources: RFC 9110, section 15; Azure Blob Storage's error codes.
"""

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from converter.errors import PytsnError
from pytsn.weights.addresses import shown

_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_RETIRED = ("PublicAccessNotPermitted", "AccountIsDisabled", "AccountNotFound")  # of the account, not of one file
_MEANINGS = {404: "no such file there", 410: "the file is gone", 401: "access denied", 403: "access denied"}


class HostGone(PytsnError):
    """The host is unavailable; asking it for more files is pointless."""


class NotThere(PytsnError):
    """This address does not have the file; another one may."""


class Trouble(Exception):
    """A try failed; the next may succeed. reached: whether the host answered. wait: seconds that it asked for."""

    def __init__(self, reason: str, reached: bool = True, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reached, self.wait = reached, wait


class StartAgain(Trouble):
    """The existing part belongs to another file."""


def http_trouble(address: str, error: urllib.error.HTTPError) -> Exception:
    """The exception for a response that is not 2xx."""
    try:
        text = error.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    said = f"HTTP {error.code} {error.reason}"
    if retired := next((code for code in _RETIRED if code in text), None):
        return HostGone(f"{shown(address)}: the host no longer offers its files to the public ({said}: {retired})")
    if error.code == 416:
        return StartAgain("the file there changed meanwhile")
    if error.code in _TRY_AGAIN:
        asked = error.headers.get("Retry-After", "")
        return Trouble(f"the server failed ({said})", wait=float(asked) if re.fullmatch(r"\d{1,4}", asked) else 0.0)
    return NotThere(f"{shown(address)}: {_MEANINGS.get(error.code, 'refused')} ({said})")


def connection_trouble(address: str, reason: object, stall: float) -> Exception:
    """The exception for a failed connection; ``reason`` as in URLError."""
    host = urlsplit(address).hostname
    if isinstance(reason, ssl.SSLCertVerificationError):
        return HostGone(
            f"{shown(address)}: {host} has no valid certificate ({reason.verify_message}): a proxy in between?"
        )
    if isinstance(reason, socket.gaierror):
        text = f"no host '{host}' is known (DNS: {reason.strerror})"
        return Trouble(text, False) if reason.errno == socket.EAI_AGAIN else HostGone(f"{shown(address)}: {text}")
    if isinstance(reason, (OSError, http.client.HTTPException)):
        return Trouble(f"no connection to {host}: {reason_of(reason, stall)}", False)
    return NotThere(f"{shown(address)}: {reason}")


def reason_of(error: Exception, stall: float) -> str:
    """The error in a few words; ``stall``: the timeout of a TimeoutError, in seconds."""
    if isinstance(error, TimeoutError):
        return f"nothing came for {stall:g} s"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended too early"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else."""

    def redirect_request(self, request, answer, code, message, headers, address):
        if urlsplit(address).scheme not in ("https", urlsplit(request.full_url).scheme):
            told = f"{shown(request.full_url)}: redirected to {shown(address)}"
            raise NotThere(f"{told}, which is not secure: not followed")
        return super().redirect_request(request, answer, code, message, headers, address)


def make_opener() -> urllib.request.OpenerDirector:
    """An opener for http and https only: no ftp, no files, no data addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        _Redirect,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
