"""Server of the Model Context Protocol (MCP): an assistant plans runs and starts them within an allowance."""
