"""The process that trains: it runs the user's objective, warm from trial to trial, and knows only its keeper."""
