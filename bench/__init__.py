"""What flowbind costs, measured beside what it is compared with, in one run."""
