"""Side-by-side measurements: served repository and phantoms in, one JSON file of results and a page out."""
