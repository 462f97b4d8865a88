"""The command `ensemble`: scores ensembles of logged networks or of points of a path."""
