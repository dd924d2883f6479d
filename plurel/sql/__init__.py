"""Databases for a schema that is declared in SQL.

reading      statements, types, checks and parser (text), reflection (a live database), resolution (names and keys)
the schema   schema (its classes), ddl (as SQL again), cases and numbers (what CHECKs demand)
making       narrowing and plan (what can be filled, in what order), links, keys, columns, cells, repair, database
"""
