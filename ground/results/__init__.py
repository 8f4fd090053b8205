"""What a run leaves behind: records, stamps, histograms, summary, report and verdict."""
