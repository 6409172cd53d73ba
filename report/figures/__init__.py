"""The figures, one file each: Altair writes every specification."""
