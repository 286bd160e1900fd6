"""A figure as a file of its own: well-formed, in the SVG name space, and with the style that its classes need."""

from xml.etree import ElementTree

from plausible.report.drawing import chart, tag
from plausible.report.page import svg_file


def test_a_figure_alone_is_an_svg_file_with_the_style_of_the_page():
    text = svg_file(chart(tag("text", "a < b & c", class_="tick"), width=10, height=5, label="1 > 0"))
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    style, title, label = root
    assert (title.text, label.text) == ("1 > 0", "a < b & c")
    assert "--ink" in (style.text or "")
