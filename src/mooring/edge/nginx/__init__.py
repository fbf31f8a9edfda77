"""The other writer of the edge's model: nginx, with weaker promises. Edge §7."""
