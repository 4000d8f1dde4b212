"""One model's folder: an OCI image layout with a journal."""
