"""The output of `pytsn identify` about a file."""

from converter.text_table import amount
from pytsn.weights.identify import BVLC, INVSTD, NO_BN, VARIANCE, Identity

_LONGEST = 400  # characters of a line


def identity_lines(found: Identity) -> list[str]:
    """The findings as lines to print, the file's name first."""
    rows = [("kind", f"{found.kind}, {found.size:,} bytes"), ("sha256", found.sha256)]
    if found.holds_weights:
        rows += _weight_rows(found)
    if found.name_says:
        rows.append(("name says", found.name_says + _agreement(found)))
    rows += [("note", text) for text in found.notes]
    rows += [("contradiction", text) for text in found.contradictions]
    rows += [("DAMAGED", text) for text in found.damage]
    if found.advice:
        rows.append(("advice", found.advice))
    if found.holds_weights and not found.damage:
        rows.append(("intact", "whole, all numbers finite, no negative variance"))
    return [_shown(found.path), *(f"  {title:<14} {_shown(text)}" for title, text in rows)]


def _shown(text: str) -> str:
    """The text as one line that is safe for a terminal, whatever names an untrusted file holds."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def _agreement(found: Identity) -> str:
    if not found.holds_weights:
        return ""
    if found.contradictions:
        return ": it is not"
    return ": agrees" + (" (which split, no file can tell)" if "split" in found.name_says else "")


def _weight_rows(found: Identity) -> list[tuple[str, str]]:
    own = f", calls itself '{found.net_name}'" if found.net_name else ""
    counts = f"{amount(found.layers, 'layer')} with weights, {amount(found.numbers, 'number')}{own}"
    rows = [("net", f"{found.net or 'none known here'}: {counts}")]
    scores = "no classifier"
    if found.score_layer is not None and found.classes is not None:
        classes = amount(found.classes, "class", "classes")
        scores = f"'{found.score_layer}', {classes}: {found.dataset or 'of no dataset known here'}"
    rows.append(("scores", scores))
    if found.channels is not None:
        rows.append(("input", f"{amount(found.channels, 'channel')}: {found.modality or 'of no modality known here'}"))
    rows.append(("BN", _bn_text(found)))
    return rows


def _bn_text(found: Identity) -> str:
    shape = f", blobs of shape {found.bn_shape}" if found.bn_shape else ""
    texts = {
        VARIANCE: f"slope, bias, mean, variance{shape}",
        INVSTD: f"slope, bias, mean, and what looks like the inverse standard deviation{shape}: from before 27 April"
        " 2016? Read it with --bn_style invstd",
        BVLC: f"BVLC Caffe's BatchNorm{shape}, with Scale",
        NO_BN: "none",
    }
    assert found.bn is not None  # a file with layers
    return texts[found.bn]
