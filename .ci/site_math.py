"""A hook of mkdocs: equations become MathML, which browsers show without a script or a network.

Pages have equations as `$...$` and `$$...$$`, as GitHub does. The extension `pymdownx.arithmatex`
marks them; this hook converts what it marked.
"""

import html
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.S)
# What the converter leaves as letters: signs that are operators, and spaces beside functions.
SPACED = (
    (r"<mi>&#x02032;</mi>", '<mo lspace="0" rspace="0">&#x02032;</mo>'),
    (r"<mo[^>]*>(&#x02225;|&#x02016;)</mo>", r'<mo stretchy="false">\1</mo>'),
    (r"<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>"),
    (r"(?<=</mi>)(?=<mi>(?:log|exp|cos)</mi>)", '<mspace width="0.167em" />'),
    (r"(?<=<mi>log</mi>)(?=<m(?!o\b))", '<mspace width="0.167em" />'),
)


def on_page_content(content, page, config, files):
    """The page with MathML in the place of marked equations."""
    content = BLOCK.sub(lambda match: mathml(match[1], "block"), content)
    return INLINE.sub(lambda match: mathml(match[1], "inline"), content)


def mathml(latex, display):
    """An equation as MathML; `display` is "block" or "inline"."""
    converted = convert(html.unescape(latex).strip(), display=display)
    for pattern, better in SPACED:
        converted = re.sub(pattern, better, converted)
    if unknown := re.search(r"<mi>(&|\\\w+)</mi>", converted):
        raise PluginError(f"Write the equation without {unknown[1]}, or in lines: {latex.strip()}")
    return converted
