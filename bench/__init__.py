"""Figures of the house: cold start, memory, idle load. `make bench` prints them."""
