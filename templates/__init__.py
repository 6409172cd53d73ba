"""The page's layout, style and script; `report.page` fills them in."""
