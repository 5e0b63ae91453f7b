"""The lines of a site: each owns a link and a task, and none can take another down."""
