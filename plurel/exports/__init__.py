"""A relbench database in other formats, one module each. Each takes a database or the path of a RelBench-3 folder."""
