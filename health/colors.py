"""Compute the contrast of the status page's colors, and write their style sheet. All functions are pure."""

# portal.css uses the same values for --surface.
LIGHT_SURFACE, DARK_SURFACE = "#ffffff", "#151920"
# portal.css uses the same values for --accent.
DEFAULT_ACCENT, DEFAULT_DARK_ACCENT = "#4450c8", "#a3adff"
# WCAG requires this contrast ratio for text: https://www.w3.org/TR/WCAG22/#contrast-minimum.
MIN_CONTRAST = 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio, from 1 to 21, of two colors such as "#1f5fa8".

    See https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio.
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def write_style_sheet(light: str, dark: str) -> str:
    """Return the CSS that sets the accent colors of the light and the dark theme.

    An empty color stands for the portal's own color. Text on the accent color is black or white, whichever has more
    contrast.
    """
    light, dark = light or DEFAULT_ACCENT, dark or DEFAULT_DARK_ACCENT
    accent = f"light-dark({light}, {dark})"
    on_accent = f"light-dark({_text_on(light)}, {_text_on(dark)})"
    return (
        f":root {{\n  --accent: {accent};\n  --accent-strong: {accent};\n  --on-accent: {on_accent};\n}}\n"
        "body { border-top: 4px solid var(--accent); }\n"
    )


def _text_on(color: str) -> str:
    return max(("#ffffff", "#000000"), key=lambda text: contrast(text, color))
