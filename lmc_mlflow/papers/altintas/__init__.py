"""Tables and claims of Altintas et al. (Disentangling Linear Mode-Connectivity)."""
