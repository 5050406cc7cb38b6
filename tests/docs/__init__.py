"""The README and the pages of docs/ say what is true."""
