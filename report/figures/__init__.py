"""The figures of the page, whose Vega-Lite specifications are written by Altair."""
