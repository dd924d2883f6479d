"""SVG elements as escaped markup. Colours come from the page's style sheet, by class, so that they follow its theme."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape


def number(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def element(tag: str, *content: str, **attributes: str | float | None) -> Markup:
    """<tag attributes>content</tag>; `class_` is written class, other underscores as hyphens, None is left out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value if isinstance(value, str) else number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inside = "".join(escape(part) for part in content)
    return Markup(f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>")


def svg(width: float, height: float, content: Iterable[Markup], label: str, class_: str = "drawing") -> Markup:
    """A drawing of `width` x `height` pixels that shrinks with its box; `label` says what it shows."""
    return element(
        "svg",
        Markup("").join(content),
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        class_=class_,
        style=f"--natural: {number(height)}px",
    )


def tiles(corners: Iterable[tuple[float, float]], width: float, height: float, class_: str) -> Markup:
    """Equal rectangles with their upper left corners at `corners`, as one path."""
    side = number(width)
    path = "".join(f"M{number(x)} {number(y)}h{side}v{number(height)}h-{side}z" for x, y in corners)
    return element("path", d=path, class_=class_) if path else Markup("")


def curve(points: list[tuple[float, float]]) -> str:
    """The path through points from left to right, level at each of them."""
    path = f"M{number(points[0][0])} {number(points[0][1])}"
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        middle = number((x0 + x1) / 2)
        path += f"C{middle} {number(y0)} {middle} {number(y1)} {number(x1)} {number(y1)}"
    return path


def shortened(text: str, length: int) -> str:
    """At most `length` characters, the last an ellipsis where some are left out."""
    return text if len(text) <= length else text[: length - 1] + "…"
