"""Split texts into word ids."""
