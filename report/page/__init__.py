"""The HTML document: words, sections, tables, charts, program."""
