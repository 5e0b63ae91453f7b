"""A whole site under a clock that costs nothing: years of bad days, replayed from one seed."""
