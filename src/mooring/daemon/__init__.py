"""Joins the rooms into processes, and names the backends."""
