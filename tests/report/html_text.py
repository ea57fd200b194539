"""A page taken apart by the standard library's parser: its elements, their text, and the scripts."""

from html.parser import HTMLParser

_EMPTY = {"meta", "link", "img", "br", "rect", "path", "polyline"}


class Parsed(HTMLParser):
    """elements: [(tag, attributes)] in order; text: all of it; scripts and styles: [attributes, text]; tables:
    {heading's id: rows of cells}."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements, self.scripts, self.styles = [], [], []
        self.tables: dict[str, list[list[str]]] = {}
        self.text, self._stack, self._section = "", [], ""
        self.feed(html)
        self.close()
        assert not self._stack, f"not closed: {self._stack}"

    def handle_starttag(self, tag, attributes) -> None:
        own = dict(attributes)
        assert len(own) == len(attributes), f"{tag} has an attribute twice: {attributes}"
        self.elements.append((tag, own))
        if tag == "h2":
            self._section = own["id"]
        if tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append([own, ""])
        if tag == "tr":
            self.tables.setdefault(self._section, []).append([])
        if tag in ("th", "td"):
            self.tables[self._section][-1].append("")
        if tag not in _EMPTY:
            self._stack.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag) -> None:
        assert self._stack.pop() == tag, tag

    def handle_data(self, data) -> None:
        if self._stack and self._stack[-1] in ("script", "style"):
            (self.scripts if self._stack[-1] == "script" else self.styles)[-1][1] += data
            return
        self.text += data
        if "td" in self._stack or "th" in self._stack:
            self.tables[self._section][-1][-1] += data

    def attributes(self, name: str) -> list[str]:
        """The values of an attribute wherever it stands."""
        return [own[name] for _, own in self.elements if name in own]
