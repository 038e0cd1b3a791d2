"""HTTP endpoints of the data plane and of blob storage, with their responses, SAS signatures and access checks."""
