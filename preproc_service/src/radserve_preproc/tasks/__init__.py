"""What each kind of profile asks of its networks, one module per kind; ``registry.py`` says which."""
