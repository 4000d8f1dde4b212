from .loop import distil
from .settings import DistilSettings
