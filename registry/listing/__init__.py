"""What is shown of versions: details, differences, filters."""
