"""Text from files and command lines made fit to be shown: names may hold anything."""

import json
import re

from markupsafe import Markup

from converter.errors import printable

#: characters that turn the direction of the text around them, or are not to be seen at all
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_LONGEST = 300


def shown(text: object, longest: int = _LONGEST) -> str:
    """The text in one line, with control characters and invisible ones (direction marks, zero width) written out as
    ``\\u202e``, its middle left out if it is longer than ``longest`` characters."""
    line = _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", printable(str(text)))
    if len(line) <= longest:
        return line
    half = longest // 2
    return f"{line[:half]} ... ({len(line) - 2 * half} characters) ... {line[-half:]}"


def script_json(value: object) -> Markup:
    """The value as JSON that can stand in a script element: nothing in it ends the element or opens a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII alone
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def percent(share: float | None, digits: int = 2) -> str:
    """0.93531 as 93.53; a dash for None and nan."""
    return "\u2013" if share is None or share != share else f"{100 * share:.{digits}f}"


def signed(difference: float) -> str:
    """A difference in points with its sign: +0.4, a real minus for negative ones."""
    return f"{difference:+.1f}".replace("-", "\u2212")
