"""Reports as one HTML page that needs nothing else: styles and pictures are in it, and no address is fetched."""

from __future__ import annotations

import io
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from qakit.report.compare_table import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

INK = "#010203"
"""Stands for the page's own text colour while matplotlib draws."""


def page(
    title: str, parts: Iterable[str], *, script: str | None = None, data: object = None, asks: bool = False
) -> str:
    """A whole page from parts that are HTML already.

    Args:
        script: the file in ``assets`` that brings it to life; None for a page that only shows.
        data: what the script works with, as JSON.
        asks: whether the script may ask the server that the page is from.
    """
    from jinja2 import Environment, PackageLoader

    assets = Environment(loader=PackageLoader("qakit.report", "assets"), autoescape=True)
    style, code = asset("page.css"), ""
    if script is not None:
        style, code = style + asset("view.css"), asset("page.js") + asset(script)
    digest = b64encode(sha256(code.encode()).digest()).decode()
    return assets.get_template("page.html").render(
        title=title,
        body=Markup("\n".join(parts)),
        style=Markup(style),
        script=Markup(code),
        asks=asks,
        script_hash=digest,
        data=Markup(_json_in_html(data)),
    )


def asset(name: str) -> str:
    """A file that pages are made of."""
    return (files("qakit.report") / "assets" / name).read_text("utf-8")


def _json_in_html(value: object) -> str:
    """JSON that no HTML parser takes for a tag, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028")


def heading(text: str, level: int = 2, *, style: str = "") -> str:
    return f"<h{level}{_class(style)}>{escape(text)}</h{level}>"


def paragraph(text: str, *, style: str = "") -> str:
    return f"<p{_class(style)}>{escape(text)}</p>"


def listing(texts: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"


def code(text: str) -> str:
    """Text as it is, in a box."""
    return f"<pre>{escape(text)}</pre>"


def table(grid: Grid) -> str:
    """A table that scrolls by itself where it is wider than the page."""
    styles = [
        _class(" ".join(["number"] * (column in grid.numbers) + ["clock"] * (column in grid.clock)))
        for column in grid.columns
    ]
    head = "".join(f"<th{style}>{escape(text)}</th>" for text, style in zip(grid.columns, styles, strict=True))
    rows = "\n".join(
        "<tr>" + "".join(f"<td{style}>{escape(text)}</td>" for text, style in zip(row, styles, strict=True)) + "</tr>"
        for row in grid.rows
    )
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'


def figure(svg: str, caption: str) -> str:
    return f"<figure>\n{svg}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"


@contextmanager
def drawn_for_html() -> Iterator[None]:
    """Draw matplotlib's figures inside this for :func:`inline_svg`: in the page's colours, its text as text."""
    import matplotlib

    drawn = "text.color axes.edgecolor axes.labelcolor xtick.color ytick.color axes.titlecolor grid.color"
    inks: dict[str, Any] = dict.fromkeys(drawn.split(), INK)
    transparent: dict[str, Any] = {"figure.facecolor": "none", "axes.facecolor": "none", "legend.facecolor": "none"}
    fonts: dict[str, Any] = {"svg.fonttype": "none", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}
    settings: Any = {**inks, **transparent, **fonts, "svg.hashsalt": "qakit", "legend.edgecolor": INK}
    with matplotlib.rc_context(settings):
        yield


def inline_svg(drawing: Figure, *, name: str) -> str:
    """A figure as SVG for the middle of a page; ``name`` keeps its ids apart from those of other pictures."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    return svg.replace(INK, "currentColor").strip()


def notes(texts: Sequence[str]) -> list[str]:
    """Notes as a section, if there are any."""
    return [heading("Notes"), listing(texts)] if texts else []


def _class(style: str) -> str:
    return f' class="{style}"' if style else ""
