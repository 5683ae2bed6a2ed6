"""Views of a compilation: JSON-ready data first, then text, HTML and SVG made from it."""
