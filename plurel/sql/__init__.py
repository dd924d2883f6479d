"""Databases for a schema that is declared in SQL: read (parser, reflection), planned, linked and filled."""
