"""One HTML page that shows a database: schema, links, values, dependence, missing values, events, causal models.

statistics.py, dependence.py, degrees.py and events.py measure; layout.py, er_diagram.py, causal_graph.py and charts.py
draw; page.py joins them. (`plurel.describe` is the function; the package has another name so as not to hide it.)
"""
