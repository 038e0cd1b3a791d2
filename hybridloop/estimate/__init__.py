"""What a run would take: its algorithm is rehearsed in this process, and what it asks for is counted and priced."""
