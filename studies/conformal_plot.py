"""Coverage against the nominal one as an SVG picture: methods as lines, and the band that one split lies in."""

from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, TOP, SIDE = 720, 430, 60, 40, 340
COLOURS = ("#0072b2", "#009e73", "#56b4e9", "#d55e00", "#cc79a7", "#e69f00")
"""Okabe and Ito's colours: told apart by people with colour blindness too."""

LOWEST = 0.0
"""Both axes start here: what is not calibrated is far below."""


def coverage_plot(lines: Mapping[str, Points], band: Sequence[tuple[float, float, float]], *, title: str) -> str:
    """Draw achieved over nominal coverage.

    Args:
        lines: nominal and achieved coverage of each method; names with a star are not calibrated and drawn dashed.
        band: nominal coverage, and both ends of the band of one split.
        title: what stands above.
    """
    parts = [*_axes(title), _band(band), _path([(LOWEST, LOWEST), (1, 1)], "#777777", dash="2 3")]
    for place, (name, points) in enumerate(lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        dash = "6 4" if name.startswith("*") else ""
        parts += [_path(points, colour, dash=dash), *_dots(points, colour), *_key(place, name, colour, dash)]
    parts += _key(len(lines), "promised = achieved", "#777777", "2 3")
    parts.append(_key_box(len(lines) + 1, "95 % of single splits, exact law"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>{title}</title>\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        f"{body}\n</svg>\n"
    )


def _x(value: float) -> float:
    return round(LEFT + (value - LOWEST) / (1 - LOWEST) * SIDE, 1)


def _y(value: float) -> float:
    return round(TOP + SIDE - (value - LOWEST) / (1 - LOWEST) * SIDE, 1)


def _axes(title: str) -> list[str]:
    parts = [f'<text x="{LEFT}" y="22" font-size="14">{title}</text>']
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts += [
            f'<path d="M{LEFT} {_y(tick)}H{LEFT + SIDE}M{_x(tick)} {TOP}V{TOP + SIDE}" stroke="#e5e5e5"/>',
            f'<text x="{LEFT - 8}" y="{_y(tick) + 4}" text-anchor="end">{tick:g}</text>',
            f'<text x="{_x(tick)}" y="{TOP + SIDE + 18}" text-anchor="middle">{tick:g}</text>',
        ]
    middle = TOP + SIDE / 2
    return [
        *parts,
        f'<text x="{LEFT + SIDE / 2}" y="{TOP + SIDE + 38}" text-anchor="middle">nominal coverage, 1 − alpha</text>',
        f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">achieved coverage</text>',
    ]


def _band(band: Sequence[tuple[float, float, float]]) -> str:
    around = [(x, low) for x, low, _ in band] + [(x, high) for x, _, high in reversed(band)]
    corners = " ".join(f"{_x(x)},{_y(y)}" for x, y in around)
    return f'<polygon points="{corners}" fill="#bbbbbb" fill-opacity="0.35"/>'


def _path(points: Points, colour: str, *, dash: str = "") -> str:
    track = "L".join(f"{_x(x)} {_y(y)}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{track}" fill="none" stroke="{colour}" stroke-width="1.6"{dashed}/>'


def _dots(points: Points, colour: str) -> list[str]:
    return [f'<circle cx="{_x(x)}" cy="{_y(y)}" r="2.6" fill="{colour}"/>' for x, y in points]


def _key(place: int, name: str, colour: str, dash: str) -> list[str]:
    x, y = LEFT + SIDE + 20, TOP + 14 + 22 * place
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return [
        f'<path d="M{x} {y - 4}h26" stroke="{colour}" stroke-width="1.6"{dashed}/>',
        f'<text x="{x + 34}" y="{y}">{name.lstrip("*")}</text>',
    ]


def _key_box(place: int, name: str) -> str:
    x, y = LEFT + SIDE + 20, TOP + 14 + 22 * place
    box = f'<rect x="{x}" y="{y - 10}" width="26" height="12" fill="#bbbbbb" fill-opacity="0.35"/>'
    return f'{box}<text x="{x + 34}" y="{y}">{name}</text>'
