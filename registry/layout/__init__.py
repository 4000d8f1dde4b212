"""One model's directory: an OCI image layout with a journal, how to read it and how to change it."""
