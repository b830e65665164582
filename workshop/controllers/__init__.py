"""The controllers room."""
