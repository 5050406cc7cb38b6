"""What comes from outside is checked: numbers, JSON, and rows of JSON as frozen values."""
