"""How do runs travel from one store to another? One file with everything, and a merge that keeps ids."""
