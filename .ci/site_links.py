"""A hook of mkdocs: every relative link of the built pages leads to a file and an anchor.

mkdocs checks the links that pages write. Links of included sections, notebooks and docstrings are
seen here alone. The site is opened from a folder, so a link to a folder counts as dead.
"""

import logging
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ABSOLUTE = ("404.html",)  # mkdocs writes its links for the root of a server
_logger = logging.getLogger("mkdocs.hooks.site_links")


class _Page(HTMLParser):
    """The anchors and links of a page."""

    def __init__(self, file):
        super().__init__()
        self.anchors, self.links = set(), set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("id", "name"):
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.add(value)


def on_post_build(config):
    """Warns of each dead link, which ends a strict build."""
    site = Path(config.site_dir).resolve()
    pages = {file: _Page(file) for file in site.rglob("*.html") if file.name not in ABSOLUTE}
    for file, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchor = unquote(parts.fragment)
            if not target.is_file():
                _logger.warning("%s: dead link %s", file.relative_to(site), link)
            elif anchor and target in pages and anchor not in pages[target].anchors:
                _logger.warning("%s: no anchor %s", file.relative_to(site), link)
