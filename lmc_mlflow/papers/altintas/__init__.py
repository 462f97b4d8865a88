"""What do Altintas et al. (Disentangling Linear Mode-Connectivity) print and claim, and what does the store say?"""
