"""The command `report`: compares a store with the papers."""
