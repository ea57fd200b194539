"""Layer names as state-dict keys, as in earlier PyTorch ports of these nets."""

import re
from collections.abc import Iterable

from converter.errors import PytsnError


def state_name(layer_name: str) -> str:
    """The module name of a layer: every character not allowed in an identifier becomes `_`.

    ``conv1/7x7_s2`` -> ``conv1_7x7_s2``, ``fc-action`` -> ``fc_action``, ``res2a.branch1`` -> ``res2a_branch1``.
    """
    return re.sub(r"\W", "_", layer_name)


def state_names(layer_names: Iterable[str]) -> dict[str, str]:
    """Layer name -> module name. Raises PytsnError if two layers would share one."""
    owners: dict[str, str] = {}
    for layer in layer_names:
        key = state_name(layer)
        if key in owners:
            raise PytsnError(
                f"layers '{owners[key]}' and '{layer}' both become '{key}' in a state dict: rename one of them"
            )
        owners[key] = layer
    return {layer: key for key, layer in owners.items()}
