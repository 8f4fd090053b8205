"""The satellite: takes questions off the link, runs the model, sends answers down."""
