"""A small Markdown renderer for cards that trusts nothing: all text is escaped.

It knows headings, paragraphs, bullet lists, tables, fenced code, inline code, bold and emphasis.
Links are written out as text; images and HTML are shown as they are typed. Nothing of a card can
become an element, an attribute or a request of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape

__all__ = ["markdown_to_html"]

_SPAN = re.compile(
    r"\\(?P<plain>[\\`*_\[\]<>|#&~+.!(){}-])"
    r"|`(?P<code>[^`]+)`"
    r"|\[(?P<words>[^\[\]]*)\]\((?P<address>[^()\s]*)\)"
    r"|\*\*(?P<strong>[^*\s](?:[^*]*[^*\s])?)\*\*"
    r"|\*(?P<em>[^*\s](?:[^*]*[^*\s])?)\*"
)
_CELL = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:-]+")
_BULLET = re.compile(r"\s*[-*]\s+")


def markdown_to_html(markdown: str, *, top_level: int = 1) -> str:
    r"""Return safe HTML for `markdown`; its `#` becomes a heading of `top_level`.

    Example:
        >>> markdown_to_html("# A & B\n\n*new* <b>", top_level=3)
        '<h3>A &amp; B</h3>\n<p><em>new</em> &lt;b&gt;</p>'
    """
    return "\n".join(_blocks(markdown.splitlines(), top_level))


def _blocks(lines: list[str], top_level: int) -> Iterator[str]:
    i = 0
    while i < len(lines):
        line, start = lines[i], i
        if line.startswith("```"):
            end = _until(lines, i + 1, lambda row: row.startswith("```"))
            yield f"<pre><code>{escape(chr(10).join(lines[i + 1 : end]))}</code></pre>"
            i = end + 1
        elif heading := re.match(r"(#{1,6})\s+(.*)", line):
            level = min(6, len(heading[1]) + top_level - 1)
            yield f"<h{level}>{_inline(heading[2])}</h{level}>"
            i += 1
        elif line.startswith("|"):
            i = _until(lines, start, lambda row: not row.startswith("|"))
            yield _table(lines[start:i])
        elif _BULLET.match(line):
            i = _until(lines, start, lambda row: not row.strip())
            yield _list(lines[start:i])
        elif line.strip():
            i = _until(lines, start + 1, _ends_paragraph)
            yield f"<p>{_inline(' '.join(row.strip() for row in lines[start:i]))}</p>"
        else:
            i += 1


def _until(lines: list[str], start: int, stops: Callable[[str], bool]) -> int:
    """Return the position of the first line from `start` on where it stops, or the end."""
    return next((i for i in range(start, len(lines)) if stops(lines[i])), len(lines))


def _ends_paragraph(line: str) -> bool:
    return not line.strip() or line.startswith(("#", "|", "```")) or bool(_BULLET.match(line))


def _table(lines: list[str]) -> str:
    rows = [_CELL.split(line.strip().strip("|")) for line in lines]
    is_headed = len(rows) > 1 and _RULE.fullmatch(lines[1]) is not None
    header = rows[0] if is_headed and any(cell.strip() for cell in rows[0]) else []
    head = "".join(f'<th scope="col">{_inline(cell.strip())}</th>' for cell in header)
    body = "".join(_row(row) for row in (rows[2:] if is_headed else rows))
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _row(cells: list[str]) -> str:
    first, *others = (_inline(cell.strip()) for cell in cells)
    return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{c}</td>" for c in others) + "</tr>"


def _list(lines: list[str]) -> str:
    points: list[str] = []
    for line in lines:
        if bullet := _BULLET.match(line):
            points.append(line[bullet.end() :])
        else:
            points[-1] += " " + line.strip()
    return "<ul>" + "".join(f"<li>{_inline(point)}</li>" for point in points) + "</ul>"


def _inline(text: str) -> str:
    parts, last = [], 0
    for span in _SPAN.finditer(text):
        parts += [escape(text[last : span.start()]), _span(span)]
        last = span.end()
    return "".join([*parts, escape(text[last:])])


def _span(span: re.Match[str]) -> str:
    match span.lastgroup:
        case "plain":
            return escape(span["plain"])
        case "address":
            return f"{escape(span['words'])} ({escape(span['address'])})"
        case "code":
            return f"<code>{escape(span['code'])}</code>"
        case kind:
            return f"<{kind}>{_inline(span[str(kind)])}</{kind}>"
