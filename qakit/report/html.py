"""Reports as one HTML page that needs nothing else: styles and pictures are in it, and no address is fetched."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from qakit.report.compare_table import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

INK = "#010203"
"""Stands for the page's own text colour while matplotlib draws."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --back: #ffffff; --card: #f6f8fa;
  --accent: #0969da; --bad: #b42318; --good: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --back: #0d1117;
  --card: #151b23; --accent: #4493f8; --bad: #f97066; --good: #3fb950; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
p { margin: .4rem 0; } .lead { color: var(--soft); font-size: 1.05rem; } .soft { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { padding: .45rem .8rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { background: var(--card); font-weight: 600; white-space: nowrap; }
tr:last-child td { border-bottom: 0; } tbody tr:hover { background: var(--card); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:first-child { font-weight: 600; }
figure { margin: 1.25rem 0; padding: 1rem; border: 1px solid var(--line); border-radius: 8px; overflow-x: auto; }
figure svg { display: block; max-width: 100%; height: auto; margin: 0 auto; color: var(--ink); }
figcaption { color: var(--soft); font-size: .88rem; margin-top: .6rem; text-align: center; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem;
  font: .82rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-x: auto;
  white-space: pre-wrap; margin: .4rem 0; }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; } .failed { color: var(--bad); } ul { padding-left: 1.2rem; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page from parts that are HTML already."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


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
    numbers = [_class("number") if column in grid.numbers else "" for column in grid.columns]
    head = "".join(f"<th{style}>{escape(text)}</th>" for text, style in zip(grid.columns, numbers, strict=True))
    rows = "\n".join(
        "<tr>" + "".join(f"<td{style}>{escape(text)}</td>" for text, style in zip(row, numbers, strict=True)) + "</tr>"
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
