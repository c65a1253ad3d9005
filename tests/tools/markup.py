"""Whether text from outside became part of a page's markup, told by reading the page as browsers do."""

from __future__ import annotations

from html.parser import HTMLParser

from tools.hostile import unsafe_letters

#: Stands in no page of ours: whoever puts text into a page puts these into the text.
FORGED_TAG = "zzforged"
FORGED_ATTRIBUTE = "zzharm"
#: Ends a text, an attribute of either quote, a comment, a script and a title, and then forges.
FORGERY = (
    f"<{FORGED_TAG}>' {FORGED_ATTRIBUTE}=1 \" {FORGED_ATTRIBUTE}=2 --></title></script>"
    f"<{FORGED_TAG} {FORGED_ATTRIBUTE}=3>"
)


class Markup(HTMLParser):
    """What a page is made of.

    Attributes:
        text: All text of it, what scripts and styles hold included.
        forged: Tags and attributes that no template has.
        inline: Scripts, styles, handlers and addresses that would run: none may be there.
    """

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.text = ""
        self.forged: list[str] = []
        self.inline: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag has that it must not have."""
        self.forged += [tag] if tag == FORGED_TAG else []
        given = dict(attrs)
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(tag)
        for name, value in attrs:
            self.forged += [name] if FORGED_ATTRIBUTE in name else []
            runs = name.startswith("on") or name == "style"
            leads = name in ("href", "src", "action") and (value or "").strip().startswith(
                "javascript:"
            )
            self.inline += [f"{tag} {name}"] if runs or leads else []

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data

    @property
    def unsafe(self) -> str:
        """Letters that deceive whoever reads the page; spaces of ours are none."""
        return unsafe_letters(self.text.replace("\n", "").replace("\xa0", ""))
