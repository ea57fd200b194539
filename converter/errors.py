"""The one error type of the project: a mistake in what the user handed us, said in one line."""


class PytsnError(Exception):
    """Bad input: a file, layer, frame, field or argument that cannot be used.

    ``str(error)`` is one line that names the culprit, what was found and what to do. Commands print it and exit with
    status 2; anything else that escapes is a defect of ours.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))
