"""Comparing what a command printed with what a page shows."""

import re

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
_MEASURED = re.compile(
    r"\d+(?:\.\d+)? s\b"
)  # seconds, and differences of the order of rounding: other on every machine


def assert_printed(found: list[str], shown: list[str], place: str) -> None:
    """Every shown line is printed, in this order; ``...`` stands for any lines. Where the page shows no ``...`` at the
    end, nothing more is printed."""
    found = [line.rstrip() for line in found if line.strip()]
    at, gap = 0, False
    for line in (line.rstrip() for line in shown if line.strip()):
        if line.strip() == "...":
            gap = True
            continue
        rest = [index for index in range(at, len(found)) if same_line(found[index], line)]
        right = bool(rest) and (gap or rest[0] == at)
        assert right, f"{place}: shows\n  {line}\nprinted:\n" + "\n".join(found[at:])
        at, gap = rest[0] + 1, False
    assert gap or at == len(found), f"{place}: printed, but not shown:\n" + "\n".join(found[at:])


def same_line(found: str, shown: str) -> bool:
    """Same words; whole numbers equal, decimals within one part in a hundred or two of the last digit, tiny numbers
    (1.2e-07) and seconds not compared: rounding and speed are the machine's. A final ... stands for the rest."""
    if shown.endswith("..."):
        shown = shown[:-3].rstrip()
        found = found[: len(shown)]
    found, shown = _MEASURED.sub("_ s", " ".join(found.split())), _MEASURED.sub("_ s", " ".join(shown.split()))
    if _NUMBER.sub("#", found) != _NUMBER.sub("#", shown):
        return False
    return all(_close(a, b) for a, b in zip(_NUMBER.findall(found), _NUMBER.findall(shown), strict=True))


def _close(found: str, shown: str) -> bool:
    if "e" in shown or "e" in found:
        return "e" in shown and "e" in found
    found, shown = found.replace(",", ""), shown.replace(",", "")
    if "." not in shown:
        return found == shown
    last = 10.0 ** -len(shown.rpartition(".")[2])
    return abs(float(found) - float(shown)) <= max(2 * last, 0.01 * abs(float(shown))) * (1 + 1e-9)
