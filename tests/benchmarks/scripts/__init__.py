"""Programs as somebody writes them who has no harness; none of them imports fmbench unless it says so."""
