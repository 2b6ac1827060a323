"""What results logs say: for a terminal, a page, or a program."""
