"""What lies on the straight line between two networks?"""
