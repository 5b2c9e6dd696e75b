"""One search criterion (a parameter's name and value) -> a node of the query tree; one module per kind of parameter."""
