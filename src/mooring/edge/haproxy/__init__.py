"""One writer of the edge's model: HAProxy's files, its runtime commands, its life."""
