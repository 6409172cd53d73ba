"""Which values a page of so many bytes holds, and how they are encoded."""
