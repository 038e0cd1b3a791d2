"""Web portal: HTML pages that show sessions and jobs, with their templates and static files."""
