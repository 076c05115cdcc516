"""`flowbind ...`: what an operator types and sees."""
