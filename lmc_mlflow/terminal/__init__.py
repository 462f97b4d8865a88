"""What a person reads in a terminal: aligned tables, colours, commands to type next, and pipes that close early."""
