"""Uploads: tables that somebody sends, CSV or XLSX, with an error for each wrong row."""
