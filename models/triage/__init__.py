"""The builtin's task: questions about a telemetry frame that have one right answer."""
