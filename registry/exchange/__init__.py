"""Export models as archives, and import models from outside."""
